/**
 * The command line as a script for a POSIX shell. `command` starts it, `modules` are folders to import from beside the
 * interpreter's own, and `bytecode` is where compiled files go.
 */
export function shellCommand(
  command: readonly string[],
  modules: readonly string[],
  bytecode: string,
): string {
  const quoted = (value: string): string => `'${value.replaceAll("'", `'\\''`)}'`;
  return `#!/bin/sh
# Written by the Trickster extension: its command line, in the interpreter that trains.
PYTHONPATH=${quoted(modules.join(':'))}"\${PYTHONPATH:+:$PYTHONPATH}"
PYTHONPYCACHEPREFIX=${quoted(bytecode)}
export PYTHONPATH PYTHONPYCACHEPREFIX
exec ${command.map(quoted).join(' ')} "$@"
`;
}

/** The same as a batch file. An empty entry of PYTHONPATH would stand for the current folder, so none is left. */
export function windowsCommand(
  command: readonly string[],
  modules: readonly string[],
  bytecode: string,
): string {
  return [
    '@echo off',
    'rem Written by the Trickster extension: its command line, in the interpreter that trains.',
    'setlocal',
    'if defined PYTHONPATH set "PYTHONPATH=;%PYTHONPATH%"',
    `set "PYTHONPATH=${modules.join(';')}%PYTHONPATH%"`,
    `set "PYTHONPYCACHEPREFIX=${bytecode}"`,
    `${command.map((word) => `"${word}"`).join(' ')} %*`,
    '',
  ].join('\r\n');
}
