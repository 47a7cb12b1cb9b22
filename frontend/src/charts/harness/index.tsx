/** A page to look at the charts with synthetic data; not part of the plugin. `?theme=dark`, `?page=…` */

import { signal } from '@preact/signals';
import { render } from 'preact';
import '../charts.css';
import './harness.css';
import { pages } from './pages';

const query = new URLSearchParams(location.search);
document.documentElement.dataset.theme = query.get('theme') ?? 'light';
const page = signal(query.get('page') ?? 'flow');

function Root() {
  const Page = pages[page.value]!;
  return <Page />;
}

render(<Root />, document.body);

// For the driver of the harness, which measures what a page costs.
Object.assign(window, { page });
