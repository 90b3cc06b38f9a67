import { interpolateCividis } from "d3-scale-chromatic";

/** Cividis: from dark blue to yellow, evenly bright, and the same picture to an eye that tells no red from green. */
const STEPS = 256;
const TABLE = Uint8ClampedArray.from(
  Array.from({ length: STEPS }, (_, step) => {
    const [red, green, blue] = interpolateCividis(step / (STEPS - 1))
      .match(/\d+/g)!
      .map(Number);
    return [red!, green!, blue!];
  }).flat(),
);

function place(share: number): number {
  return Math.round(Math.min(1, Math.max(0, Number.isFinite(share) ? share : 0)) * (STEPS - 1));
}

/** The colour of a share of 0 to 1. */
export function ramp(share: number): string {
  const at = 3 * place(share);
  return `rgb(${TABLE[at]} ${TABLE[at + 1]} ${TABLE[at + 2]})`;
}

/** Ink that is read on that colour at 4.5:1 or better. */
export function inkOn(share: number): string {
  const at = 3 * place(share);
  const ground = luminance(TABLE[at]!, TABLE[at + 1]!, TABLE[at + 2]!);
  return 1.05 / (ground + 0.05) >= 4.5 ? "#ffffff" : "#000000";
}

/** Write a share of 0 to 1 into the four bytes of a pixel. */
export function paint(pixels: Uint8ClampedArray, pixel: number, share: number): void {
  const at = 3 * place(share);
  pixels[4 * pixel] = TABLE[at]!;
  pixels[4 * pixel + 1] = TABLE[at + 1]!;
  pixels[4 * pixel + 2] = TABLE[at + 2]!;
  pixels[4 * pixel + 3] = 255;
}

/** Relative luminance, as WCAG 2 defines it. */
export function luminance(red: number, green: number, blue: number): number {
  const [r, g, b] = [red, green, blue].map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
}
