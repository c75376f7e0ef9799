/** The dialogs of the page. Those that are rarely opened are loaded when they are. */
import { lazy, Suspense } from 'react';
import { closeDialog, type Route } from './route';
import { Settings } from './Settings';

const SearchDialog = lazy(() =>
  import('../search/SearchDialog').then((module) => ({ default: module.SearchDialog })),
);
const UsageDialog = lazy(() =>
  import('../usage/UsageDialog').then((module) => ({ default: module.UsageDialog })),
);
const ImportDialog = lazy(() =>
  import('../transfer/ImportDialog').then((module) => ({ default: module.ImportDialog })),
);
const Shortcuts = lazy(() =>
  import('./Shortcuts').then((module) => ({ default: module.Shortcuts })),
);

interface Properties {
  route: Route;
  user: string;
  assistantId: string | null;
  isHelpOpen: boolean;
  onHelp: (isOpen: boolean) => void;
}

export function Dialogs({ route, user, assistantId, isHelpOpen, onHelp }: Properties) {
  return (
    <Suspense fallback={null}>
      {route.dialog === 'settings' && (
        <Settings user={user} onClose={closeDialog} onHelp={() => onHelp(true)} />
      )}
      {route.dialog === 'search' && <SearchDialog within={route.within} onClose={closeDialog} />}
      {route.dialog === 'usage' && <UsageDialog onClose={closeDialog} />}
      {route.dialog === 'import' && (
        <ImportDialog assistantId={assistantId} onClose={closeDialog} />
      )}
      {isHelpOpen && <Shortcuts onClose={() => onHelp(false)} />}
    </Suspense>
  );
}
