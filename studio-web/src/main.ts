import "@fontsource-variable/inter/wght.css";
import "@fontsource-variable/jetbrains-mono/wght.css";
import "uplot/dist/uPlot.min.css";
import "./styles/tokens.css";
import "./styles/base.css";
import { mount } from "svelte";
import App from "./App.svelte";
import { startTheme } from "./state/theme.svelte.ts";

startTheme();
const place = document.getElementById("app");
if (!place) throw new Error("index.html has no element with the id app");
mount(App, { target: place });
