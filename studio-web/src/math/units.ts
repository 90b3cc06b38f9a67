/** Numbers as people read them. */
const PREFIXES = ["", "k", "M", "G", "T", "P", "E"];

export function short(value: number, digits = 3): string {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3) return trimExponential(value.toExponential(digits - 1));
  const rounded = Number(value.toPrecision(digits));
  const power = Math.min(PREFIXES.length - 1, Math.max(0, Math.floor(Math.log10(Math.abs(rounded)) / 3)));
  return `${trim((rounded / 1000 ** power).toPrecision(digits))}${PREFIXES[power]}`;
}

export function bytes(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = value < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(value) / 10));
  return `${trim((value / 1024 ** power).toPrecision(power ? 3 : 4))} ${units[power]}`;
}

export function flops(value: number): string {
  const [, number = "–", prefix = ""] = short(value).match(/^(.*?)([kMGTPE]?)$/) ?? [];
  return `${number} ${prefix}FLOP`;
}

export function whole(value: number): string {
  return Number.isFinite(value) ? Math.round(value).toLocaleString("en-US") : "–";
}

/** So many of something, which takes an s where it is not one. */
export function counted(count: number, name: string): string {
  return `${whole(count)} ${name}${count === 1 ? "" : "s"}`;
}

export function percent(share: number): string {
  if (!Number.isFinite(share)) return "–";
  const value = share * 100;
  return `${value >= 99.95 || value === 0 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : trim(value.toPrecision(2))} %`;
}

export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 60) return `${trim(seconds.toPrecision(3))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

function trim(text: string): string {
  if (text.includes("e")) return String(Number(text));
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

function trimExponential(text: string): string {
  return text.replace(/\.?0*e/, "e");
}
