import type { Turn } from "../state/chat.svelte.ts";

/** A conversation as a file: JSON with every token's probability, or text for people. */
export function asJson(turns: readonly Turn[]): string {
  const plain = turns.map(({ said, replies }) => ({
    user: said,
    replies: replies.flatMap((reply) =>
      reply
        ? [
            {
              model: reply.model,
              seed: reply.seed,
              text: reply.text,
              end: reply.end,
              tokens: reply.tokens.map(({ id, token, logprob }) => ({ id, token, logprob })),
            },
          ]
        : [],
    ),
  }));
  return `${JSON.stringify({ format: "textmill-chat", version: 1, turns: plain }, undefined, 2)}\n`;
}

export function asMarkdown(turns: readonly Turn[]): string {
  const parts = turns.map(({ said, replies }) => [
    `## You\n\n${said}`,
    ...replies.flatMap((reply) => (reply ? [`## ${reply.model}\n\n${reply.text}`] : [])),
  ]);
  return `${parts.flat().join("\n\n")}\n`;
}

export function download(name: string, type: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
