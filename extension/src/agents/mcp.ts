import * as vscode from 'vscode';
import type { App } from '../app';
import { cleanEnvironment, launcherIn, type Interpreters } from '../python/interpreters';
import { runProcess } from '../python/processes';
import { errorText } from '../ui/log';

/** As package.json contributes it. */
const PROVIDER = 'trickster.mcp';
const PATIENCE_MS = 60_000;

/** The part of VS Code 1.101's API that is used here: an older one, which the extension still runs in, lacks it. */
interface McpApi {
  registerMcpServerDefinitionProvider?: (
    id: string,
    provider: {
      onDidChangeMcpServerDefinitions: vscode.Event<void>;
      provideMcpServerDefinitions: () => Promise<McpServer[]>;
      resolveMcpServerDefinition: (server: McpServer) => Promise<McpServer | undefined>;
    },
  ) => vscode.Disposable;
}
interface McpServer {
  command: string;
  args: string[];
  env: Record<string, string | number | null>;
}
type McpServerClass = new (
  label: string,
  command: string,
  args: string[],
  env: Record<string, string>,
  version: string,
) => McpServer;

/**
 * Offers `trickster mcp` to the agents of VS Code, on the folders of a trusted window. Agents start it, in the Python that
 * trains then; nothing runs before one does.
 */
export class AgentDoor implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  private readonly subscriptions: { dispose(): unknown }[];

  constructor(
    private readonly app: Pick<App, 'interpreters' | 'log'>,
    private readonly extension: vscode.Extension<unknown>,
  ) {
    const change = (): void => this.changed.fire();
    this.subscriptions = [
      this.changed,
      vscode.workspace.onDidGrantWorkspaceTrust(change),
      vscode.workspace.onDidChangeWorkspaceFolders(change),
    ];
    try {
      const registration = (vscode.lm as McpApi).registerMcpServerDefinitionProvider?.(PROVIDER, {
        onDidChangeMcpServerDefinitions: this.changed.event,
        // VS Code asks for it in every window where the extension is active, agent or not: no Python is looked for yet.
        provideMcpServerDefinitions: () => Promise.resolve(offeredServers(extension)),
        resolveMcpServerDefinition: (server) => this.checked(server),
      });
      if (registration) {
        this.subscriptions.push(registration);
      }
    } catch (error) {
      // VS Code 1.100 has the function as a proposal, and refuses it to who has not asked for the proposal.
      app.log.info(`This VS Code offers agents no MCP servers of extensions: ${errorText(error)}`);
    }
  }

  dispose(): void {
    this.subscriptions.forEach((subscription) => void subscription.dispose());
  }

  /** The server in the Python that trains, if it starts: without input it ends at once, or says what it lacks. */
  private async checked(offered: McpServer): Promise<McpServer | undefined> {
    try {
      const server = await inPythonThatTrains(offered, this.app.interpreters);
      const { code, stderr } = await runProcess(server.command, server.args, {
        cwd: this.extension.extensionPath,
        env: cleanEnvironment(),
        timeoutMs: PATIENCE_MS,
      });
      if (code === 0) {
        return server;
      }
      throw new Error(stderr.trim());
    } catch (error) {
      this.app.log.error(`trickster mcp does not start: ${errorText(error)}`);
      void vscode.window.showErrorMessage(
        vscode.l10n.t('Agents cannot use Trickster: {0}', errorText(error).replace(/^error: /, '')),
      );
      return undefined;
    }
  }
}

/** The server for the folders of this window, its Python not yet found; none where they are not trusted. */
export function offeredServers(extension: vscode.Extension<unknown>): McpServer[] {
  const Definition = (vscode as { McpStdioServerDefinition?: McpServerClass }).McpStdioServerDefinition;
  const folders = (vscode.workspace.workspaceFolders ?? [])
    .filter(({ uri }) => uri.scheme === 'file')
    .map(({ uri }) => `--folder=${uri.fsPath}`);
  if (!Definition || !vscode.workspace.isTrusted || folders.length === 0) {
    return [];
  }
  const { version } = extension.packageJSON as { version: string };
  const command = [launcherIn(extension.extensionPath), 'trickster_engine', 'mcp', ...folders];
  return [new Definition('Trickster', 'python', command, { PYTHONUTF8: '1' }, version)];
}

/** An offered server with the Python that it is to run in. Throws where none can train. */
export async function inPythonThatTrains(server: McpServer, interpreters: Interpreters): Promise<McpServer> {
  const interpreter = await interpreters.forTraining();
  if (!interpreter) {
    throw new Error(
      vscode.l10n.t('no Python has all that training needs. Run "Trickster: Set Up Environment".'),
    );
  }
  server.command = interpreter.path;
  return server;
}
