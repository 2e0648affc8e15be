import * as vscode from 'vscode';
import { STEPS, type StepId } from './steps';

const STORED = 'trickster.lesson';

interface Remembered {
  /** When the evidence was first seen, in milliseconds since 1970. */
  since: number;
  /** One line that says what was seen; the newest. */
  fact: string;
}

/** Which steps have been seen done in this workspace, and the newest fact about each. */
export class LessonProgress implements vscode.Disposable {
  private readonly steps: Partial<Record<StepId, Remembered>>;
  /** Facts about steps that are not done yet, such as "no PyTorch". Not remembered. */
  private readonly notes = new Map<StepId, string>();
  private readonly changed = new vscode.EventEmitter<StepId>();
  private readonly completed = new vscode.EventEmitter<StepId>();
  /** A step shows something new. */
  readonly onDidChange = this.changed.event;
  /** A step was ticked for the first time in this workspace. */
  readonly onDidComplete = this.completed.event;

  constructor(private readonly memory: vscode.Memento) {
    this.steps = { ...memory.get<Partial<Record<StepId, Remembered>>>(STORED, {}) };
  }

  dispose(): void {
    this.changed.dispose();
    this.completed.dispose();
  }

  isDone(id: StepId): boolean {
    return this.steps[id] !== undefined;
  }

  doneCount(): number {
    return STEPS.filter(({ id }) => this.isDone(id)).length;
  }

  /** The first step that is still open. */
  next(): StepId | undefined {
    return STEPS.find(({ id }) => !this.isDone(id))?.id;
  }

  fact(id: StepId): string | undefined {
    return this.notes.get(id) ?? this.steps[id]?.fact;
  }

  /** Evidence was seen. */
  done(id: StepId, fact: string): void {
    const before = this.steps[id];
    const noted = this.notes.delete(id);
    if (before?.fact === fact) {
      if (noted) {
        this.changed.fire(id);
      }
      return;
    }
    this.steps[id] = { since: before?.since ?? Date.now(), fact };
    void this.memory.update(STORED, this.steps);
    this.changed.fire(id);
    if (!before) {
      this.completed.fire(id);
    }
  }

  /** Something about a step that does not tick it. */
  note(id: StepId, fact: string): void {
    if (this.notes.get(id) !== fact) {
      this.notes.set(id, fact);
      this.changed.fire(id);
    }
  }
}
