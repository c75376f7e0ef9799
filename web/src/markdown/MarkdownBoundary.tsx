import { Component, type ReactNode } from 'react';

interface Properties {
  text: string;
  children: ReactNode;
}

/** A message that cannot be rendered is shown as plain text, and takes nothing else with it. */
export class MarkdownBoundary extends Component<Properties, { isBroken: boolean }> {
  override state = { isBroken: false };

  static getDerivedStateFromError(): { isBroken: boolean } {
    return { isBroken: true };
  }

  override render(): ReactNode {
    const { text, children } = this.props;
    if (!this.state.isBroken) return children;
    return (
      <div className="markdown">
        <div className="plain">{text}</div>
      </div>
    );
  }
}
