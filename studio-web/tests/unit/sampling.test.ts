import { expect, test } from "vitest";
import { readBiases, readStops } from "../../src/math/sampling.ts";

test.each([
  ["", []],
  ["END", ["END"]],
  ["\\n\\n\n###", ["\n\n", "###"]],
  [" a \n\n\tb", [" a ", "\tb"]],
  ["a\\tb\\\\n", ["a\tb\\n"]],
])("stop strings are read: %j", (written, stops) => {
  expect(readStops(written)).toEqual(stops);
});

test.each([
  ["", {}],
  ["198: -100", { 198: -100 }],
  ["198:-100, 13 : +2.5,", { 198: -100, 13: 2.5 }],
  ["198", undefined],
  ["the: 3", undefined],
  ["1: 2; 3: 4", undefined],
])("biases are read: %j", (written, biases) => {
  expect(readBiases(written)).toEqual(biases);
});
