import type { FromDashboard, Tab, ToDashboard } from '../contract';

/** What survives the page being hidden or the window being reloaded. */
interface SavedState {
  runId?: string;
  compared?: string[];
  tab?: Tab;
  checkpoint?: string;
  playground?: {
    prompt: string;
    temperature: number;
    topK: number;
    topP: number;
    length: number;
    seed: number;
  };
  inside?: { text?: string };
}

interface VsCodeApi {
  postMessage(message: FromDashboard): void;
  getState(): SavedState | undefined;
  setState(state: SavedState): void;
}

declare function acquireVsCodeApi(): VsCodeApi;

const api = acquireVsCodeApi();

export function send(message: FromDashboard): void {
  api.postMessage(message);
}

export function savedState(): SavedState {
  return api.getState() ?? {};
}

export function saveState(change: SavedState): void {
  api.setState({ ...savedState(), ...change });
}

export function onMessage(handler: (message: ToDashboard) => void): void {
  window.addEventListener('message', (event: MessageEvent<ToDashboard>) => handler(event.data));
}
