/** Conversations into and out of a file. All throw Problem. */
import { api, data, send } from '../api/client';
import type { ImportedSession } from './importedFile';
import { partsOf } from './importedFile';

/**
 * Imports one session into a new one, and returns the number of messages that the server refused.
 * Called again after a failure, it imports nothing twice.
 */
export async function importSession(
  { id, title, messages }: ImportedSession,
  assistantId: string | null,
  onProgress: (count: number) => void,
): Promise<number> {
  await data(
    api.POST('/v1/sessions', {
      params: { header: { 'Idempotency-Key': `import-${id}` } },
      body: { id, assistant_id: assistantId, title },
    }),
  );
  let failed = 0;
  for (const [index, part] of partsOf(messages).entries()) {
    const result = await data(
      api.POST('/v1/history/{session_id}', {
        params: {
          path: { session_id: id },
          header: { 'Idempotency-Key': `import-${id}-${index}` },
        },
        body: { messages: part, on_error: 'skip' },
      }),
    );
    failed += result.failed;
    onProgress(part.length);
  }
  return failed;
}

export type ExportFormat = 'json' | 'markdown';

export async function exportSession(id: string, format: ExportFormat): Promise<void> {
  await download(`/v1/sessions/${id}/export?format=${format}`, `parley-${id}`, format);
}

export async function exportAll(): Promise<void> {
  const day = new Date().toISOString().slice(0, 10);
  await download('/v1/export?format=json', `parley-${day}`, 'json');
}

async function download(path: string, name: string, format: ExportFormat): Promise<void> {
  const response = await send(path, {});
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement('a');
  link.href = url;
  link.download = `${name}.${format === 'json' ? 'json' : 'md'}`;
  link.click();
  // The browser has taken its copy by then.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
