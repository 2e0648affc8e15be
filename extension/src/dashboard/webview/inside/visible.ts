/** Call `look` when an element comes into sight, and return a way to ask whether it is. */
export function onSight(element: Element, look: () => void): () => boolean {
  let visible = false;
  new IntersectionObserver((entries) => {
    visible = entries.at(-1)?.isIntersecting ?? false;
    if (visible) {
      look();
    }
  }).observe(element);
  return () => visible;
}
