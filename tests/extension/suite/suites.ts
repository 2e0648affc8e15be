/** Suites, in the order in which their files are imported; defined once mocha's words exist. */
export const suites: (() => void)[] = [];
