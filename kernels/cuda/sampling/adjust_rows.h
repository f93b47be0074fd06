// What bias, masks and penalties make of rows of logits, on the device: the bits of
// kernels/sampling/adjusted_row.cc, in its order (grammar, bias, masked ids, penalties). One block of threads
// a row; the raw logits stay as they are. Entries may come in portions, a launch each, in the stream's order:
// only a row's first one copies it. What always holds: an id's entries are applied one after another, in the
// order in which they stand.
#pragma once

#include <cstdint>

#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda {

struct Adjustment {
  int id;
  float value;  // of bias: what is added; of a penalty: what is taken away in the end; of a mask: nothing
};

// A row's part of a portion.
struct AdjustedRow {
  int row;
  int first;      // 1: it is copied from the logits
  int words;      // where its grammar's words begin, a bit for each id; -1: every id may be. Of a first one
  int bias;       // where its entries begin, by kinds; those of one id stand side by side
  int masks;      // in any order
  int penalties;  // one for an id, in any order
  int end;
  float penalty;  // repetition_penalty
};

struct AdjustRows {
  struct Params {
    const float* logits;  // rows logits_stride apart
    int64_t logits_stride;
    float* adjusted;  // rows `stride` apart
    int64_t stride;
    const AdjustedRow* rows;
    const Adjustment* entries;
    const uint32_t* words;
    int vocabulary;
  };
  static constexpr int kThreads = 1024, kMinBlocks = 1;

  static QUIRE_DEVICE void Run(const Params& p) {
    const AdjustedRow row = p.rows[BlockIndex().x];
    float* const out = p.adjusted + row.row * p.stride;
    if (row.first != 0) {
      Copy(p.logits + row.row * p.logits_stride, row.words < 0 ? nullptr : p.words + row.words, p.vocabulary,
           out);
      SyncBlock();
    }
    Bias(p.entries, row, out);
    SyncBlock();
    for (int i = row.masks + ThreadIndex(); i < row.penalties; i += kThreads) out[p.entries[i].id] = Out();
    SyncBlock();
    Penalties(p.entries, row, out);
  }

 private:
  // Loads that stand in flight together.
  static constexpr int kAtOnce = 4;

  static QUIRE_DEVICE float Out() { return BitsToFloat(0xff800000u); }

  static QUIRE_DEVICE void Copy(const float* raw, const uint32_t* words, int vocabulary, float* out) {
    for (int first = ThreadIndex(); first < vocabulary; first += kAtOnce * kThreads) {
      float value[kAtOnce];
      QUIRE_UNROLL
      for (int i = 0; i < kAtOnce; ++i) {
        const int id = first + i * kThreads;
        const bool may_be = id < vocabulary && (words == nullptr || (words[id / 32] >> (id % 32) & 1) != 0);
        value[i] = may_be ? raw[id] : Out();
      }
      QUIRE_UNROLL
      for (int i = 0; i < kAtOnce; ++i) {
        const int id = first + i * kThreads;
        if (id < vocabulary) out[id] = value[i];
      }
    }
  }

  // The first of an id's entries is its thread's, and the others with it.
  static QUIRE_DEVICE void Bias(const Adjustment* entries, const AdjustedRow& row, float* out) {
    for (int i = row.bias + ThreadIndex(); i < row.masks; i += kThreads) {
      const int id = entries[i].id;
      if (i > row.bias && entries[i - 1].id == id) continue;
      float logit = out[id];
      for (int j = i; j < row.masks && entries[j].id == id; ++j) logit = logit + entries[j].value;
      out[id] = logit;
    }
  }

  static QUIRE_DEVICE void Penalties(const Adjustment* entries, const AdjustedRow& row, float* out) {
    for (int first = row.penalties + ThreadIndex(); first < row.end; first += kAtOnce * kThreads) {
      Adjustment entry[kAtOnce] = {};
      float logit[kAtOnce] = {};
      QUIRE_UNROLL
      for (int i = 0; i < kAtOnce; ++i) {
        if (first + i * kThreads < row.end) entry[i] = entries[first + i * kThreads];
      }
      QUIRE_UNROLL
      for (int i = 0; i < kAtOnce; ++i) {
        if (first + i * kThreads < row.end) logit[i] = out[entry[i].id];
      }
      QUIRE_UNROLL
      for (int i = 0; i < kAtOnce; ++i) {
        if (first + i * kThreads >= row.end) continue;
        const float penalized = logit[i] > 0 ? Divide(logit[i], row.penalty) : logit[i] * row.penalty;
        out[entry[i].id] = penalized - entry[i].value;
      }
    }
  }
};

}  // namespace quire::kernels::cuda
