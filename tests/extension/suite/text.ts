import assert from 'node:assert/strict';
import * as text from '../../../extension/src/ui/text';
import { suites } from './suites';

suites.push(() =>
  describe('Numbers and times', () => {
    it('reads as people write', () => {
      assert.equal(text.count(1115394), '1,115,394');
      assert.equal(text.short(5180672), '5.2M');
      assert.equal(text.short(11604864), '11.6M');
      assert.equal(text.short(27402752), '27M');
      assert.equal(text.short(1130981376), '1.1B');
      assert.equal(text.short(980), '980');
      assert.equal(text.loss(1.526), '1.53');
    });

    it('shows noise without its control characters', () => {
      assert.equal(text.printable('To \u001b[31mbe\u0007\n\tor \ufffdé'), 'To ·[31mbe·\n\tor ·é');
    });

    it('shows every kind of line end as one', () => {
      assert.equal(text.printable('a\r\nb\rc\n\r'), 'a\nb\nc\n\n');
    });

    it('rounds times to what matters', () => {
      assert.equal(text.duration(45.4), '45 s');
      assert.equal(text.duration(190), '3 min');
      assert.equal(text.duration(3599), '1 h');
      assert.equal(text.duration(7320), '2 h 2 min');
      assert.equal(text.duration(200_000), '2 days');
      assert.equal(text.ago(1000, 1030), 'just now');
      assert.equal(text.ago(1000, 1000 + 300), '5 min ago');
      assert.equal(text.ago(1000, 1000 + 3 * 3600 + 120), '3 h ago');
    });
  }),
);
