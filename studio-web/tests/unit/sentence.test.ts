import { expect, test } from "vitest";
import { ApiError } from "../../src/api/client.ts";
import { readEvents } from "../../src/api/stream.ts";
import { asSentence } from "../../src/math/sentence.ts";

test.each([
  [
    "the text has 70,000 bytes, and at most 65,536 are drawn",
    "The text has 70,000 bytes, and at most 65,536 are drawn.",
  ],
  ["temperature is 7, and must be 0 to 5", "Temperature is 7, and must be 0 to 5."],
  ["top_k is -1, and must be 0 or more", "top_k is -1, and must be 0 or more."],
  ["config.json holds no model", "config.json holds no model."],
  ["/home/mine holds no run", "/home/mine holds no run."],
  ['"mine" is no run', '"mine" is no run.'],
  ["there is no run; there are: example", "There is no run; there are: example."],
  ["step 700: spike (loss 9, limit 4)", "Step 700: spike (loss 9, limit 4)."],
  ['which one is meant? There are "a" and "b".', 'Which one is meant? There are "a" and "b".'],
  ["", ""],
])("%s", (message, sentence) => {
  expect(asSentence(message)).toBe(sentence);
});

test("every message of the studio is a sentence, an event's too", async () => {
  expect(new ApiError("there is no model", 404).message).toBe("There is no model.");
  const body = 'event: error\ndata: {"error": {"message": "the engine is gone"}}\n\n';
  const read = async () => {
    for await (const event of readEvents(new Response(body))) void event;
  };
  await expect(read).rejects.toThrow("The engine is gone.");
});
