import * as vscode from 'vscode';

const EXTENSION = 'trickster.trickster';
/** Pages that are no step of the lesson. The headings of the first three are the codes of messages. */
const PAGES = [
  'troubleshooting',
  'troubleshooting-tenstorrent',
  'troubleshooting-layers',
  'counting',
  'domains',
  'teacher',
];

/** Open the page called so, or the one that explains the message with this code. Returns false where there is none. */
export async function openTroubleshooting(pageOrCode: string): Promise<boolean> {
  const uri = await explanation(pageOrCode);
  if (uri) {
    await vscode.commands.executeCommand('markdown.showPreview', uri);
  }
  return uri !== undefined;
}

/** Where a message is explained. */
export async function explanation(pageOrCode: string): Promise<vscode.Uri | undefined> {
  const root = vscode.extensions.getExtension(EXTENSION)?.extensionUri;
  if (!root) {
    return undefined;
  }
  for (const page of PAGES) {
    const uri = vscode.Uri.joinPath(root, 'walkthroughs', `${page}.md`);
    if (page === pageOrCode) {
      return uri;
    }
    const text = new TextDecoder().decode(await vscode.workspace.fs.readFile(uri));
    if (text.includes(`\n## ${pageOrCode}\n`)) {
      return uri.with({ fragment: pageOrCode });
    }
  }
  return undefined;
}
