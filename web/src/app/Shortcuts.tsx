import { useText } from '../i18n/language';
import { Dialog } from '../ui/Dialog';

export function Shortcuts({ onClose }: { onClose: () => void }) {
  const t = useText();
  const command = /Mac|iP/.test(navigator.platform) ? '⌘' : 'Ctrl';
  const keys: ReadonlyArray<readonly [string, string]> = [
    ['Enter', t.keySend],
    ['Shift+Enter', t.keyBreak],
    ['↑', t.keyEditLast],
    ['Esc Esc', t.keyStop],
    [`${command}+K`, t.search],
    [`${command}+Shift+O`, t.newSession],
    [`${command}+B`, t.keyList],
    [`${command}+/`, t.shortcuts],
    ['Page Up, Page Down', t.keyMessages],
    ['Home, End', t.keyEnds],
    ['← →', t.keyBranches],
    ['F6', t.keyRegions],
  ];
  return (
    <Dialog title={t.shortcuts} onClose={onClose}>
      <dl className="shortcuts">
        {keys.map(([key, effect]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{effect}</dd>
          </div>
        ))}
      </dl>
      <div className="buttons">
        <button type="button" className="button primary" onClick={onClose}>
          {t.close}
        </button>
      </div>
    </Dialog>
  );
}
