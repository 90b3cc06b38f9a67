/** Questions to the studio that serves this page, and to nobody else. Addresses are relative: the page may be mounted anywhere. */
import { asSentence } from "../math/sentence.ts";

/** What went wrong, in words that the studio chose: what happened, and what to do. */
export class ApiError extends Error {
  constructor(
    message: string,
    /** Of the answer; 0 where none came, or where it had begun and broke off. */
    readonly status: number,
  ) {
    super(asSentence(message));
    this.name = "ApiError";
  }
}

export async function get<T>(
  path: string,
  query: Record<string, string | number | undefined> = {},
  signal?: AbortSignal,
): Promise<T> {
  return read<T>(await ask(withQuery(path, query), { signal: signal ?? null }));
}

export async function post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  return read<T>(await send(path, body, signal));
}

/** Send a body and return the answer as it comes, which may be a stream. */
export async function send(path: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  return ask(`api/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal: signal ?? null,
  });
}

/** Ask for an answer that comes as a stream. */
export async function open(
  path: string,
  query: Record<string, string | number | undefined>,
  signal: AbortSignal,
): Promise<Response> {
  return ask(withQuery(path, query), { signal });
}

function withQuery(path: string, query: Record<string, string | number | undefined>): string {
  const given = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]));
  return given.length ? `api/${path}?${new URLSearchParams(given)}` : `api/${path}`;
}

async function ask(url: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, init);
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError(
      "The studio does not answer. Is `textmill studio` still running? Start it again, at the same port.",
      0,
    );
  }
  if (response.ok) return response;
  throw new ApiError(await messageOf(response), response.status);
}

async function read<T>(response: Response): Promise<T> {
  return (await response.json()) as T;
}

async function messageOf(response: Response): Promise<string> {
  try {
    const body = (await response.json()) as { error?: { message?: unknown } };
    if (typeof body.error?.message === "string") return body.error.message;
  } catch {
    // No JSON: what the status says has to do.
  }
  return `The studio answered ${response.status} ${response.statusText}.`;
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

export function messageFor(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
