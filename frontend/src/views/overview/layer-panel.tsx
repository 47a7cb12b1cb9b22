export const LayerPanel = (_: { heat: unknown }) => null;
