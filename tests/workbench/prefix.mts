// A proxy that serves a VS Code below a path, as Codespaces, JupyterHub and company gateways do.
import http from 'node:http';
import type { Socket } from 'node:net';

export interface Prefixed {
  /** Where the VS Code is, seen through the proxy. */
  base: string;
  /** What was asked for outside of the path: somebody forgot the prefix. */
  astray: string[];
  close(): void;
}

/** Serve `http://127.0.0.1:port/` below `prefix`, which begins and ends with a slash, and nothing beside it. */
export async function behindPrefix(port: number, front: number, prefix: string): Promise<Prefixed> {
  const astray: string[] = [];
  const onward = (request: http.IncomingMessage): http.RequestOptions => ({
    host: '127.0.0.1',
    port,
    method: request.method,
    headers: request.headers,
    path: `/${(request.url ?? '').slice(prefix.length)}`,
  });
  const sockets = new Set<Socket>();
  const server = http.createServer((request, response) => {
    if (!request.url?.startsWith(prefix)) {
      astray.push(request.url ?? '');
      response.writeHead(404).end();
      return;
    }
    const inner = http.request(onward(request), (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    inner.on('error', () => response.destroy());
    request.pipe(inner);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
  });
  server.on('upgrade', (request: http.IncomingMessage, socket: Socket) => {
    if (!request.url?.startsWith(prefix)) {
      astray.push(request.url ?? '');
      socket.destroy();
      return;
    }
    const inner = http.request(onward(request));
    inner.on('error', () => socket.destroy());
    inner.on('upgrade', (answer, far, head) => {
      const lines = Object.entries(answer.headers).map(([name, value]) => `${name}: ${String(value)}`);
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('\r\n')}\r\n\r\n`);
      socket.write(head);
      far.on('error', () => socket.destroy());
      far.pipe(socket).pipe(far);
    });
    inner.end();
  });
  await new Promise<void>((resolve) => server.listen(front, '127.0.0.1', resolve));
  return {
    base: `http://127.0.0.1:${front}${prefix.replace(/\/$/, '')}`,
    astray,
    close: () => {
      sockets.forEach((socket) => socket.destroy());
      server.close();
    },
  };
}
