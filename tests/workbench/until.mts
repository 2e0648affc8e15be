/**
 * Ask every `pause` milliseconds until it is so. For what has no event that a test could wait on, such as a file of
 * another process.
 */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  patience = 60_000,
  pause = 50,
): Promise<void> {
  const end = Date.now() + patience;
  while (!(await holds())) {
    if (Date.now() > end) {
      throw new Error(`Waited ${patience} ms in vain for: ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
