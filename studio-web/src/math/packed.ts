import type { Packed } from "../api/types.ts";

let halves: Float32Array | undefined;

/** What each of the 65,536 half-precision numbers is (IEEE 754 binary16). */
function halfTable(): Float32Array {
  if (halves) return halves;
  halves = new Float32Array(65_536);
  for (let bits = 0; bits < 65_536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 31) halves[bits] = fraction ? NaN : sign * Infinity;
    else if (exponent === 0) halves[bits] = sign * fraction * 2 ** -24;
    else halves[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return halves;
}

/** Read packed numbers, the last axis the fastest. */
export function unpack({ dtype, shape, base64 }: Packed): Float32Array {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const size = shape.reduce((product, length) => product * length, 1);
  const width = dtype === "float16" ? 2 : 4;
  if (bytes.length !== size * width)
    throw new Error(`${bytes.length} bytes were packed, and ${size * width} expected for ${shape}`);
  const view = new DataView(bytes.buffer);
  if (dtype === "float32") return Float32Array.from({ length: size }, (_, at) => view.getFloat32(4 * at, true));
  const table = halfTable();
  return Float32Array.from({ length: size }, (_, at) => table[view.getUint16(2 * at, true)]!);
}
