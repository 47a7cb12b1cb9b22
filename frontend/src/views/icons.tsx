/** Pictures of 16 px in the colour of the text around them. They say nothing by themselves: a word stands beside. */
import type { ComponentChildren } from 'preact';

function icon(children: ComponentChildren) {
  return () => (
    <svg
      class="icon"
      viewBox="0 0 16 16"
      aria-hidden="true"
      fill="none"
      stroke="currentColor"
      stroke-width="1.5"
    >
      {children}
    </svg>
  );
}

export const Down = icon(<path d="m4 6 4 4 4-4" />);
export const Left = icon(<path d="M10 3.5 5.5 8l4.5 4.5" />);
export const Right = icon(<path d="M6 3.5 10.5 8 6 12.5" />);
export const Play = icon(<path d="M5 3v10l8-5z" fill="currentColor" stroke="none" />);
export const Pause = icon(<path d="M5 3h2.5v10H5zM9 3h2.5v10H9z" fill="currentColor" stroke="none" />);
export const Search = icon(<path d="M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9Zm3.3-1.2 3.7 3.7" />);
export const Close = icon(<path d="m4 4 8 8m0-8-8 8" />);
export const Help = icon(
  <>
    <circle cx="8" cy="8" r="6.25" />
    <path d="M6.2 6.3a1.8 1.8 0 1 1 2.6 1.6c-.5.3-.8.6-.8 1.2M8 11v1" />
  </>,
);
export const Settings = icon(
  <>
    <path d="M2 4.5h6m4 0h2M2 11.5h2m4 0h6" />
    <circle cx="10" cy="4.5" r="1.75" />
    <circle cx="6" cy="11.5" r="1.75" />
  </>,
);
export const More = icon(
  <>
    <circle cx="3.5" cy="8" r="1.1" fill="currentColor" stroke="none" />
    <circle cx="8" cy="8" r="1.1" fill="currentColor" stroke="none" />
    <circle cx="12.5" cy="8" r="1.1" fill="currentColor" stroke="none" />
  </>,
);
export const Copy = icon(<path d="M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3" />);
export const Check = icon(<path d="m3 8.5 3.5 3.5L13 4.5" />);
export const Info = icon(
  <>
    <circle cx="8" cy="8" r="6.25" />
    <path d="M8 7.2V12M8 4.2v1.4" />
  </>,
);
export const Critical = icon(
  <>
    <path d="M5.4 1.75h5.2l3.65 3.65v5.2l-3.65 3.65H5.4L1.75 10.6V5.4z" fill="currentColor" />
    <path d="m5.75 5.75 4.5 4.5m0-4.5-4.5 4.5" stroke="var(--bg)" />
  </>,
);
export const Diamond = icon(<path d="m8 2 6 6-6 6-6-6z" />);
export const Warning = icon(<path d="M8 2.5 14 13.5H2zM8 6.5v3.5M8 11v1.2" />);
