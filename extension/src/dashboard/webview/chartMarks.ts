import type uPlot from 'uplot';
import type { Phase } from '../../protocol';
import { themeColor } from './dom';

/** A loss that a predictor by counting has. */
export interface Baseline {
  name: string;
  value: number;
}

/** Draw the phases of training as bands, with their names where there is room and `named` asks for it. */
export function drawPhases(plot: uPlot, phases: readonly Phase[], named: boolean): void {
  const { ctx, bbox } = plot;
  const scale = devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.font = `${10 * scale}px ${getComputedStyle(document.body).fontFamily}`;
  ctx.textBaseline = 'top';
  ctx.textAlign = 'left';
  phases.forEach((phase, index) => {
    const left = plot.valToPos(phase.begin, 'x', true);
    const right = plot.valToPos(phase.end, 'x', true);
    if (index % 2 === 0) {
      ctx.fillStyle = faded(themeColor('foreground', '#888'), 0.045);
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
    }
    const label = phase.name;
    if (named && right - left > ctx.measureText(label).width + 12 * scale) {
      ctx.fillStyle = themeColor('descriptionForeground', '#888');
      ctx.fillText(label, Math.max(left, bbox.left) + 6 * scale, bbox.top + 5 * scale);
    }
  });
  ctx.restore();
}

/** Draw the losses of the baselines as dashed lines. */
export function drawBaselines(plot: uPlot, baselines: readonly Baseline[]): void {
  if (baselines.length === 0) {
    return;
  }
  const { ctx, bbox } = plot;
  const scale = devicePixelRatio;
  ctx.save();
  ctx.font = `${10 * scale}px ${getComputedStyle(document.body).fontFamily}`;
  ctx.textAlign = 'right';
  ctx.textBaseline = 'bottom';
  ctx.setLineDash([4 * scale, 4 * scale]);
  ctx.lineWidth = scale;
  ctx.strokeStyle = faded(themeColor('foreground', '#888'), 0.45);
  ctx.fillStyle = themeColor('descriptionForeground', '#888');
  let previous = Infinity;
  for (const { name, value } of [...baselines].sort((a, b) => b.value - a.value)) {
    const y = plot.valToPos(value, 'y', true);
    if (y < bbox.top || y > bbox.top + bbox.height) {
      continue;
    }
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    // Labels that would lie on each other are left out; the line and the table of the proof still tell.
    if (Math.abs(y - previous) > 12 * scale) {
      ctx.fillText(`${name} ${value.toFixed(2)}`, bbox.left + bbox.width - 6 * scale, y - 2 * scale);
      previous = y;
    }
  }
  ctx.restore();
}

/** The same colour, more see-through. Theme colours come as #rrggbb, #rrggbbaa or rgb(...). */
export function faded(color: string, alpha = 0.4): string {
  const short = /^#([0-9a-f])([0-9a-f])([0-9a-f])$/i.exec(color);
  const full = short
    ? `#${short
        .slice(1)
        .map((digit) => digit + digit)
        .join('')}`
    : color;
  const hex = /^#([0-9a-f]{6})/i.exec(full);
  if (hex?.[1]) {
    return `#${hex[1]}${Math.round(alpha * 255)
      .toString(16)
      .padStart(2, '0')}`;
  }
  const rgb = /^rgba?\(([^,]+),([^,]+),([^,)]+)/.exec(color);
  return rgb ? `rgba(${rgb.slice(1, 4).join(',')},${alpha})` : color;
}
