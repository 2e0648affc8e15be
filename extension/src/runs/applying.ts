import type { RunEvent, RunInfo } from '../protocol';

/** What one event says about the summary of its run. Whether the run lives and its checkpoints are the server's word. */
export function apply(run: RunInfo, event: RunEvent): void {
  switch (event.kind) {
    case 'status':
      run.state = event.status;
      run.step = event.step;
      break;
    case 'step':
      run.step = event.step;
      run.trainLoss = event.loss;
      run.tokensPerSecond = event.tokens_per_s;
      run.etaSeconds = event.eta_s;
      break;
    case 'eval':
      run.step = event.step;
      run.valLoss = event.val_loss;
      run.valStep = event.step;
      run.bestValLoss = Math.min(event.val_loss, run.bestValLoss ?? Infinity);
      break;
    case 'error':
      run.error = event.message;
      run.advice = event.advice;
      run.errorCode = event.code;
      break;
    case 'sample':
    case 'checkpoint':
    case 'warning':
      break;
  }
}
