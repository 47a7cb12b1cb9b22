export const GradientFlow = () => null;
