import { EventSourceParserStream } from "eventsource-parser/stream";
import { ApiError } from "./client.ts";

/** One event of a stream: its name, and its data as JSON. */
export interface StreamEvent<T> {
  event: string;
  data: T;
}

/** Read server-sent events from an answer until it ends; leaving the loop closes it. An event `error` is thrown. */
export async function* readEvents<T>(response: Response): AsyncGenerator<StreamEvent<T>> {
  if (!response.body) return;
  const reader = response.body
    .pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array<ArrayBuffer>>)
    .pipeThrough(new EventSourceParserStream())
    .getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done || value.data === "[DONE]") return;
      const [event, data] = [value.event ?? "message", JSON.parse(value.data)];
      if (event === "error") throw new ApiError((data as { error: { message: string } }).error.message, 0);
      yield { event, data: data as T };
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
