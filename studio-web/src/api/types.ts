/** What the studio answers: docs/reference/studio-api.md. Names are those of the JSON. */

export interface Session {
  version: string;
  api: number;
  open: { view: string; tokenizer: string | null; model: string | null; run: string | null };
  tokenizers: Source[];
  models: (Source & { steps: number[]; is_loaded: boolean })[];
  runs: Source[];
}

export interface Source {
  name: string;
  kind: "example" | "run" | "model" | "file";
  path: string | null;
}

export interface HexText {
  hex: string;
  text: string;
}

export interface TokensAnswer {
  tokenizer: string;
  num_bytes: number;
  num_characters: number;
  num_tokens: number;
  bytes_per_token: number;
  pattern: string;
  num_stages: number;
  vocab_size: number;
  ids: number[];
  ends: number[];
  vocabulary: Record<string, HexText>;
  pieces: { ends: number[]; num_tokens: number[]; alternatives: number[]; shapes: number[] };
  alternatives: { name: string; regex: string; stage: number }[];
  shapes: Shape[];
  changes: { begin: number; end: number; original: string; prepared: string; reason: string }[];
  dropped: HexText;
}

/** A piece's text and its merging; a merge is `[begin, product, rank]`. */
export interface Shape extends HexText {
  symbols: number[];
  symbol_ends: number[];
  merges: [begin: number, product: number, rank: number][];
  is_whole: boolean;
  is_added: boolean;
}

export interface CompareAnswer {
  a: TokensAnswer;
  b: TokensAnswer;
  common_ends: number[];
  diff: {
    settings: { name: string; a: unknown; b: unknown }[];
    num_shared: number;
    num_only_a: number;
    num_only_b: number;
    total: {
      num_tokens_a: number;
      num_tokens_b: number;
      bytes_per_token_a: number;
      bytes_per_token_b: number;
      agreement: number;
    };
    shorter_a: Stretch[];
    shorter_b: Stretch[];
    other: Stretch[];
  };
}

export interface Stretch {
  text: string;
  count: number;
  a: (string | { text: string })[];
  b: (string | { text: string })[];
}

export interface Explanation {
  unicode_version: string;
  characters: {
    begin: number;
    utf8_hex: string;
    code_point: number | null;
    name: string;
    category: string;
    utf8_bits: string;
  }[];
  pieces: ExplainedPiece[];
}

export interface ExplainedPiece {
  begin: number;
  end: number;
  text: string;
  merges: {
    begin: number;
    middle: number;
    end: number;
    rank: number;
    count: number | null;
    runner_up: { begin: number; middle: number; end: number; rank: number; is_lost: boolean } | null;
  }[];
  is_whole: boolean;
  tree: {
    nodes: { id: number; begin: number; end: number; text: string; rank: number | null; parts: number[] }[];
    roots: number[];
  };
}

export interface WhyAnswer {
  answer: string;
  reason: string;
}

export interface VocabularyAnswer {
  vocab_size: number;
  scripts: { name: string; num_tokens: number }[];
  num_found: number;
  tokens: (HexText & { id: number })[];
}

export interface ModelAnswer {
  name: string;
  kind: string;
  is_loaded: boolean;
  context: number;
  num_parameters: number;
  config: {
    hidden_size: number;
    num_hidden_layers: number;
    num_attention_heads: number;
    num_key_value_heads: number;
    head_dim: number;
    vocab_size: number;
    rope_theta: number;
  };
  attention: string;
  queries_per_key_value_head: number;
  has_chat_template: boolean;
  sampling: Record<string, number | null>;
  steps: number[];
}

export interface Scaling {
  kind: "linear" | "llama3" | "yarn";
  factor: number;
  low_freq_factor?: number;
  high_freq_factor?: number;
  original_max_position_embeddings?: number;
}

export interface PositionsAnswer {
  model: string | null;
  head_dim: number;
  rope_theta: number;
  context: number;
  scaling: Scaling | null;
  attention_factor: number;
  pairs: {
    index: number[];
    dims: [number, number][];
    plain_frequency: number[];
    frequency: number[];
    plain_wavelength: number[];
    wavelength: number[];
    divided_by: number[];
    turns_in_context: number[];
  };
}

export interface MemoryAnswer {
  context: number;
  batch: number;
  weights: string;
  kv: string;
  num_attention_heads: number;
  num_key_value_heads: number;
  num_layers: number;
  head_dim: number;
  weight_bytes: number;
  copy_bytes: number;
  kv_bytes_per_token: number;
  kv_bytes: number;
  total_bytes: number;
  read_bytes_per_step: number;
  flops_per_token: number;
  steps: {
    tokens: number[];
    flops_with_cache: number[];
    flops_without_cache: number[];
    bytes_read_with_cache: number[];
    keys_computed_without_cache: number[];
  };
  choices: { num_key_value_heads: number; name: string; kv_bytes_per_token: number }[];
}

export interface Packed {
  dtype: "float16" | "float32";
  shape: number[];
  base64: string;
}

export interface AttentionStart {
  model: string;
  ids: number[];
  texts: string[];
  num_tokens: number;
  is_cut: boolean;
  num_layers: number;
  num_heads: number;
  num_key_value_heads: number;
  head_dim: number;
  key_value_head: number[];
  windows: (number | null)[];
  estimated_s: number;
}

export interface AttentionLayer {
  layer: number;
  maps: Packed;
  entropy_bits: number[];
  first_token_share: number[];
  seconds: number;
}

export interface AttentionEnd {
  next: { id: number; text: string; probability: number }[];
  seconds: number;
}

export interface Pool {
  model: string;
  num_blocks: number;
  block_size: number;
  bytes_per_block: number;
  held: [block: number, texts: number][];
  cached: number[];
}

export type ChangeKind =
  | "take"
  | "share"
  | "publish"
  | "give"
  | "keep"
  | "leave"
  | "evict"
  | "preempt"
  | "finish"
  | "reset";

export interface EngineStep {
  step: number;
  seconds: number;
  work: { answer: number; start: number; num_tokens: number; blocks: number[]; draws: boolean; text: string }[];
  changes: [what: ChangeKind, block: number | null, answer: number | null][];
  num_free: number;
  num_cached: number;
  num_running: number;
  num_waiting: number;
}

export interface PlayEnd {
  answers: {
    answer: number;
    prompt: string;
    text: string;
    num_prompt: number;
    num_cached: number;
    num_drawn: number;
  }[];
}

export interface RunLine {
  name: string;
  state: string;
  step: number;
  num_steps: number | null;
  bits_per_byte: number | null;
  loss: number | null;
  tokens: number | null;
  num_parameters: number | null;
  last_time_s: number | null;
}

export interface Incident {
  kind: string;
  step: number;
  text: string;
  back_to?: number | null;
  skipped?: [number, number][];
}

export interface Stage {
  name: string;
  first_step: number;
  last_step: number;
  context: number | null;
  rope_theta: number | null;
  mixture: Record<string, number>;
}

export interface RunAnswer {
  name: string;
  state: string;
  step: number;
  num_steps: number | null;
  num_parameters: number | null;
  precision: string | null;
  tokens: number | null;
  tokens_per_step: number | null;
  tokens_per_s: number | null;
  mfu: number | null;
  memory_bytes: number | null;
  loss: number | null;
  steps_s: number;
  offset: number;
  figures: string[];
  stages: Stage[];
  scores: {
    source: string;
    last: number;
    last_step: number;
    best: number;
    best_step: number;
    interval: [number, number] | null;
  }[];
  held_out: Record<string, { step: number[]; value: number[] }>;
  checkpoints: { step: number; num_bytes: number }[];
  incidents: Incident[];
  samples: { step: number; prompt: string; text: string }[];
}

export type Axis = "step" | "tokens" | "time" | "flops";

export interface SeriesAnswer {
  x: Axis;
  from: number;
  to: number;
  num_steps: number;
  is_exact: boolean;
  num_per_point: number;
  step: number[];
  at: number[];
  figures: Record<string, { mean: (number | null)[]; low?: (number | null)[]; high?: (number | null)[] }>;
}

export interface TailAnswer {
  offset: number;
  restarted: boolean;
  back_to: number | null;
  state: string;
  steps: { step: number[] };
  events: { kind: string; step: number }[];
}

export interface RunsComparison {
  names: string[];
  differences: { key: string; values: unknown[] }[];
  equal_step: number | null;
  equal_tokens: number | null;
  scores: Record<
    string,
    { run: string; score: { last: number; best: number } | null; at_step: number | null; at_tokens: number | null }[]
  >;
}

export interface ChatToken {
  id: number;
  token: string;
  text: string;
  logprob: number;
  top: { id: number; token: string; logprob: number }[];
}

export interface ChatEnd {
  finish_reason: string;
  num_prompt: number;
  num_cached: number;
  num_drawn: number;
  first_token_s: number | null;
  seconds: number;
  tokens_per_s: number | null;
  text?: string;
}
