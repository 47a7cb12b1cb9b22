import { describe, expect, it } from 'vitest';
import { escapeXml, SvgPainter } from './svg';

function painter() {
  return new SvgPainter((text) => ({ width: text.length * 6 }) as TextMetrics);
}

const HOSTILE = '<img src=x onerror="alert(1)">&\u0000\ud800';

describe('SvgPainter', () => {
  it('escapes hostile names in text and title', () => {
    const svg = painter();
    svg.fillText(HOSTILE, 1, 2);
    const document = svg.document(10, 20, HOSTILE);
    expect(document).not.toContain('<img');
    expect(document).not.toContain('\u0000');
    expect(document.match(/&lt;img src=x onerror=&quot;alert\(1\)&quot;&gt;&amp;/g)).toHaveLength(2);
  });

  it('escapes fonts and colours, which come from the page', () => {
    const svg = painter();
    svg.font = '11px "Helvetica Neue"';
    svg.fillStyle = '"><script>';
    svg.fillText('x', 0, 0);
    expect(svg.document(1, 1, '')).not.toMatch(/<script|"Helvetica/);
  });

  it('draws paths, boxes and circles where they were put', () => {
    const svg = painter();
    svg.translate(10, 20);
    svg.strokeStyle = 'red';
    svg.setLineDash([3, 2]);
    svg.beginPath();
    svg.moveTo(0, 0.123456);
    svg.lineTo(5, 5);
    svg.stroke();
    svg.fillRect(1, 2, 3, 4);
    svg.beginPath();
    svg.arc(5, 5, 2);
    svg.fill();
    const document = svg.document(10, 10, '');
    expect(document).toContain('d="M10 20.12L15 25" fill="none" stroke="red"');
    expect(document).toContain('stroke-dasharray="3 2"');
    expect(document).toContain('<rect x="11" y="22" width="3" height="4"');
    expect(document).toContain('M13 25a2 2 0 1 1 4 0a2 2 0 1 1 -4 0Z');
  });

  it('closes what clipping opened, and puts the pen back', () => {
    const svg = painter();
    svg.fillStyle = 'blue';
    svg.save();
    svg.fillStyle = 'red';
    svg.rect(0, 0, 5, 5);
    svg.clip();
    svg.fillRect(0, 0, 1, 1);
    svg.restore();
    svg.fillRect(0, 0, 2, 2);
    svg.rect(0, 0, 1, 1);
    svg.clip();
    const document = svg.document(10, 10, '');
    expect(document.match(/<g /g)).toHaveLength(2);
    expect(document.match(/<\/g>/g)).toHaveLength(2);
    expect(document).toMatch(/fill="red"\/><\/g><rect x="0" y="0" width="2" height="2" fill="blue"/);
  });
});

describe('escapeXml', () => {
  it('keeps every other letter', () => {
    expect(escapeXml('层 é 🎉\n')).toBe('层 é 🎉\n');
    expect(escapeXml("a'b")).toBe('a&#39;b');
  });
});
