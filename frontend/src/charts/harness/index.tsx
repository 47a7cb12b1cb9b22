/** A page to look at the charts with synthetic data; not part of the plugin. `?theme=dark`, `?page=…` */

import { computed, signal } from '@preact/signals';
import { render } from 'preact';
import '../charts.css';
import './harness.css';
import { pages } from './pages';

const query = new URLSearchParams(location.search);
document.documentElement.dataset.theme = query.get('theme') ?? 'light';
const page = signal(query.get('page') ?? 'flow');
const Page = computed(() => pages[page.value]!);
render(<Page.value />, document.body);
