import { expect, test } from 'vitest';
import { en } from './en';
import { startOfDay, timesIn } from './times';
import { zhHans } from './zhHans';

const now = new Date(2026, 10, 29, 10, 0);
const at = (days: number) => new Date(2026, 10, 29 - days, 23, 30);

test('days have names where they are near, and a year where they are far', () => {
  const times = timesIn('en', en, startOfDay(now));
  expect(times.day(at(0))).toBe('Today');
  expect(times.day(at(1))).toBe('Yesterday');
  expect(times.day(at(3))).toBe('Thursday 26 November');
  expect(times.day(at(400))).toBe('25 October 2025');
});

test('yesterday begins at midnight, not 24 hours ago', () => {
  const times = timesIn('en', en, startOfDay(new Date(2026, 10, 30, 0, 1)));
  expect(times.day(at(0))).toBe('Yesterday');
});

test('Chinese has its own forms', () => {
  const times = timesIn('zh-Hans', zhHans, startOfDay(now));
  expect(times.day(at(0))).toBe('今天');
  expect(times.day(at(3))).toBe('11月26日星期四');
  expect(times.time(at(0))).toBe('23:30');
});

test('each text that has values in one language has them in the other', () => {
  for (const [key, text] of Object.entries(en)) {
    expect(typeof zhHans[key as keyof typeof zhHans], key).toBe(typeof text);
  }
});
