import { expect, test } from "vitest";
import { Answer } from "../../src/state/answer.svelte.ts";

/** A question whose answer comes when it is told to. */
function open<T>(): {
  ask: () => Promise<T>;
  answer: (value: T) => void;
  fail: (error: Error) => void;
  isAsked: () => boolean;
} {
  let asked = false;
  let answer: (value: T) => void = () => undefined;
  let fail: (error: Error) => void = () => undefined;
  const promise = new Promise<T>((resolve, reject) => {
    answer = resolve;
    fail = reject;
  });
  const ask = () => {
    asked = true;
    return promise;
  };
  return { ask, answer, fail, isAsked: () => asked };
}

const settled = () => new Promise((done) => setTimeout(done, 0));

test("of the questions that come while one is asked, only the last is asked", async () => {
  const answer = new Answer<number>();
  const [first, second, third] = [open<number>(), open<number>(), open<number>()];
  for (const question of [first, second, third]) answer.ask(question.ask);
  expect([first, second, third].map((question) => question.isAsked())).toEqual([true, false, false]);
  first.answer(1);
  await settled();
  expect(answer.value).toBe(1);
  expect([second.isAsked(), third.isAsked()]).toEqual([false, true]);
  third.answer(3);
  await settled();
  expect([answer.value, answer.isWaiting]).toEqual([3, false]);
});

test("an error leaves the answer before it, and goes with the next", async () => {
  const answer = new Answer<number>();
  answer.ask(() => Promise.resolve(1));
  await settled();
  answer.ask(() => Promise.reject(new Error("the text has 70,000 bytes")));
  await settled();
  expect([answer.value, answer.error]).toEqual([1, "the text has 70,000 bytes"]);
  answer.ask(() => Promise.resolve(2));
  await settled();
  expect([answer.value, answer.error]).toEqual([2, undefined]);
});
