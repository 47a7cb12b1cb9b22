/** Inputs as pixels. */

/** Pictures of bytes, row-major [count, height, width, channels] of 1 or 3 channels. */
export interface InputPictures {
  readonly count: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly pixels: Uint8Array;
}

/** One picture as the bytes of an image, [height, width, 4]; a grey one where there is one channel. */
export function inputPixels(pictures: InputPictures, index: number): Uint8ClampedArray<ArrayBuffer> {
  const { height, width, channels, pixels } = pictures;
  const out = new Uint8ClampedArray(height * width * 4);
  const start = index * height * width * channels;
  for (let place = 0; place < height * width; place++) {
    for (let channel = 0; channel < 3; channel++)
      out[4 * place + channel] = pixels[start + place * channels + (channels === 3 ? channel : 0)]!;
    out[4 * place + 3] = 255;
  }
  return out;
}
