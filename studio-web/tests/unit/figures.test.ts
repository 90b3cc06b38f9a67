import { describe, expect, test } from "vitest";
import { unpack } from "../../src/math/packed.ts";
import { inkOn, luminance, ramp } from "../../src/math/ramp.ts";
import { distances, likeness } from "../../src/math/rope.ts";
import { bytes, duration, percent, short } from "../../src/math/units.ts";
import { formatAddress, parseAddress } from "../../src/state/address.svelte.ts";

test("an address says the same after it was read and written", () => {
  const values = { text: "né & #?=\n+", rank: "12" };
  expect(parseAddress(formatAddress("tokens", values))).toEqual({ view: "tokens", values });
  expect(parseAddress("#/nowhere?x=1").view).toBe("tokens");
});

test("half-precision numbers are read as IEEE 754 says", () => {
  const bits = [0x0000, 0x3c00, 0xc000, 0x3555, 0x0001, 0x7bff, 0x8000];
  const base64 = btoa(String.fromCharCode(...bits.flatMap((half) => [half & 255, half >> 8])));
  const values = Array.from(unpack({ dtype: "float16", shape: [7], base64 }));
  expect(values.slice(0, 3)).toEqual([0, 1, -2]);
  expect(values[3]).toBeCloseTo(1 / 3, 3);
  expect(values[4]).toBe(2 ** -24);
  expect(values[5]).toBe(65_504);
  expect(() => unpack({ dtype: "float16", shape: [8], base64 })).toThrow("14 bytes were packed, and 16 expected");
});

describe("the ramp", () => {
  const steps = Array.from({ length: 101 }, (_, at) => at / 100);
  const channels = (colour: string) => colour.match(/\d+/g)!.map(Number) as [number, number, number];

  test("grows brighter all the way", () => {
    const lights = steps.map((share) => luminance(...channels(ramp(share))));
    for (let at = 5; at < lights.length; at += 5) expect(lights[at]).toBeGreaterThan(lights[at - 5]!);
  });

  test("has ink that is read at 4.5:1 everywhere", () => {
    for (const share of steps) {
      const ground = luminance(...channels(ramp(share)));
      const ink = inkOn(share) === "#ffffff" ? 1 : 0;
      expect((Math.max(ground, ink) + 0.05) / (Math.min(ground, ink) + 0.05)).toBeGreaterThanOrEqual(4.5);
    }
  });
});

test("a vector is most like itself where it stands, and distances are whole", () => {
  const frequencies = [1, 0.1, 0.01];
  expect(likeness(frequencies, 0)).toBe(1);
  for (const distance of distances(100_000, 300)) {
    expect(Number.isInteger(distance)).toBe(true);
    expect(Math.abs(likeness(frequencies, distance))).toBeLessThanOrEqual(1);
  }
  expect(distances(3, 300)).toEqual([0, 1, 2, 3]);
  expect(distances(100_000, 300).at(-1)).toBe(100_000);
});

test("numbers are written for people", () => {
  expect([0, 12.34, 999.96, 1234, 447_040, 3.9997e6, 0.00012].map((value) => short(value))).toEqual([
    "0",
    "12.3",
    "1k",
    "1.23k",
    "447k",
    "4M",
    "1.2e-4",
  ]);
  expect([512, 1536, 421_535_744].map(bytes)).toEqual(["512 B", "1.5 KiB", "402 MiB"]);
  expect([0.5, 0.0123, 1].map(percent)).toEqual(["50.0 %", "1.2 %", "100 %"]);
  expect([1.5, 75, 3700].map(duration)).toEqual(["1.5 s", "1 min 15 s", "1 h 2 min"]);
});
