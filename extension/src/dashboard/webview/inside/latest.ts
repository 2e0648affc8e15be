/**
 * Does one thing at a time, and of all that was wanted meanwhile only the last: dragging a slider asks for what it ends
 * at, not for everything on the way.
 */
export class Latest {
  private busy = false;
  private next: (() => Promise<void>) | undefined;

  /** Do this now, or when what is being done has ended. `work` deals with its own errors. */
  run(work: () => Promise<void>): void {
    this.next = work;
    if (!this.busy) {
      void this.drain();
    }
  }

  private async drain(): Promise<void> {
    this.busy = true;
    while (this.next) {
      const work = this.next;
      this.next = undefined;
      await work();
    }
    this.busy = false;
  }
}
