import type { View } from "../state/address.svelte.ts";

export const TITLES: Record<View, string> = {
  tokens: "Tokens",
  positions: "Positions",
  attention: "Attention and cache",
  training: "Training",
  chat: "Chat",
};

/** The pictures of the rail, as paths in a square of 20. */
export const ICONS: Record<View, string> = {
  tokens: "M2 6h7v8H2zM11 6h3v8h-3zM16 6h2v8h-2z",
  positions: "M10 2a8 8 0 1 0 0 16a8 8 0 1 0 0-16M10 10l5-4M10 10h6",
  attention: "M3 3v14h14zM3 10h7M10 10v7M6.5 6.5V17M3 13.5h10.500",
  training: "M2 2v16h16M4 5c2 6 4 8 7 9s5 1 7 1",
  chat: "M3 4h14v9H9l-4 4v-4H3z",
};
