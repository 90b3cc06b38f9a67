import { expect, test } from "vitest";
import { readEvents } from "../../src/api/stream.ts";

/** An answer whose bytes come in parts of `size`. */
function answer(text: string, size: number): Response {
  const bytes = new TextEncoder().encode(text);
  const parts = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
    bytes.slice(at * size, (at + 1) * size),
  );
  return new Response(
    new ReadableStream({
      start(controller) {
        for (const part of parts) controller.enqueue(part);
        controller.close();
      },
    }),
  );
}

const TEXT = ': still here\n\nevent: start\ndata: {"text": "né"}\n\nevent: tokens\ndata: [1, 2]\n\ndata: {}\n\n';

test.each([1, 2, 7, 1000])("events come out alike, in whatever parts of %i bytes they arrive", async (size) => {
  const events = [];
  for await (const event of readEvents(answer(TEXT, size))) events.push(event);
  expect(events).toEqual([
    { event: "start", data: { text: "né" } },
    { event: "tokens", data: [1, 2] },
    { event: "message", data: {} },
  ]);
});
