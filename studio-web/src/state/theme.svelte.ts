/** Light or dark: as the system has it, until somebody chooses. Kept in this browser, and nowhere else. */
export type Theme = "light" | "dark";

const KEY = "textmill-theme";

class ThemeState {
  current = $state<Theme>("light");

  toggle(): void {
    this.apply(this.current === "dark" ? "light" : "dark");
    try {
      localStorage.setItem(KEY, this.current);
    } catch {
      // A browser that keeps nothing: the choice lasts as long as the page.
    }
  }

  apply(theme: Theme): void {
    this.current = theme;
    document.documentElement.dataset.theme = theme;
  }
}

export const theme = new ThemeState();

export function startTheme(): void {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null;
    }
  };
  const follow = () => {
    const kept = chosen();
    theme.apply(kept === "dark" || kept === "light" ? kept : system.matches ? "dark" : "light");
  };
  follow();
  system.addEventListener("change", follow);
}

/** Whether pictures may move by themselves. */
export function mayMove(): boolean {
  return !matchMedia("(prefers-reduced-motion: reduce)").matches;
}
