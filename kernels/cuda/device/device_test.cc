// The emulated device itself: what mma and ldmatrix compute, and that faults of a kernel are seen.
#include "kernels/cuda/device/device.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace quire::kernels::cuda {
namespace {

// d = a b, a [16, 16] and b [16, 8] bf16 row-major, through ldmatrix and mma.
struct OneProduct {
  struct Params {
    const uint16_t *a, *b;
    float* d;
  };
  static constexpr int kThreads = 32, kMinBlocks = 1;
  static constexpr int kSharedBytes = (16 * 16 + 16 * 8) * 2;
  static QUIRE_DEVICE void Run(const Params& p) {
    std::byte* a_tile = SharedMemory();
    std::byte* b_tile = a_tile + 16 * 16 * 2;
    const int lane = LaneIndex();
    CopyAsync16(a_tile + lane * 16, p.a + lane * 8, true);
    if (lane < 16) CopyAsync16(b_tile + lane * 16, p.b + lane * 8, true);
    CopyAsyncCommit();
    CopyAsyncWait<0>();
    SyncBlock();
    uint32_t a[4], b[4];
    LdMatrix4(a, a_tile + (lane % 16) * 32 + lane / 16 * 16);
    LdMatrix4Trans(b, b_tile + (lane % 16) * 16);  // the second two matrices repeat the first
    float d[4] = {};
    MmaBf16(d, a, {b[0], b[1]});
    float* out = p.d + lane / 4 * 8 + lane % 4 * 2;
    out[0] = d[0];
    out[1] = d[1];
    out[64] = d[2];
    out[65] = d[3];
  }
};

TEST(DeviceLayer, MmaIsTheProduct) {
  std::vector<float> a(256), b(128), d(128, -1);
  std::iota(a.begin(), a.end(), -100.0f);
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i * i % 31) - 9;
  std::vector<uint16_t> a16, b16;
  for (const float x : a) a16.push_back(FloatToBf16(x));
  for (const float x : b) b16.push_back(FloatToBf16(x));
  Stream stream(7);
  alignas(16) uint16_t a_aligned[256], b_aligned[128];
  std::copy(a16.begin(), a16.end(), a_aligned);
  std::copy(b16.begin(), b16.end(), b_aligned);
  Launch<OneProduct>(stream, {}, OneProduct::kSharedBytes, {a_aligned, b_aligned, d.data()});
  ASSERT_EQ(stream.Synchronize(), "");
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      float want = 0;
      for (int k = 0; k < 16; ++k) want += a[row * 16 + k] * b[k * 8 + column];
      EXPECT_EQ(d[row * 8 + column], want) << row << " " << column;
    }
  }
}

// Each thread of a block reads what its neighbour wrote.
template <bool kBarrier>
struct Neighbours {
  struct Params {
    int* out;
  };
  static constexpr int kThreads = 96, kMinBlocks = 1;
  static QUIRE_DEVICE void Run(const Params& p) {
    int* shared = reinterpret_cast<int*>(SharedMemory());
    shared[ThreadIndex()] = ThreadIndex() + BlockIndex().x * 1000;
    if (kBarrier) SyncBlock();
    p.out[BlockIndex().x * kThreads + ThreadIndex()] = shared[(ThreadIndex() + 1) % kThreads];
  }
};

template <bool kBarrier>
std::vector<int> RunNeighbours(uint64_t seed) {
  std::vector<int> out(96 * 3);
  Stream stream(seed);
  Launch<Neighbours<kBarrier>>(stream, {.x = 3}, 96 * 4, {out.data()});
  EXPECT_EQ(stream.Synchronize(), "");
  return out;
}

TEST(DeviceLayer, AMissingBarrierGivesWrongNumbers) {
  std::vector<int> want;
  for (int i = 0; i < 96 * 3; ++i) want.push_back(i / 96 * 1000 + (i + 1) % 96);
  EXPECT_EQ(RunNeighbours<true>(1), want);
  EXPECT_EQ(RunNeighbours<true>(2), want);
  EXPECT_NE(RunNeighbours<false>(1), want);
  EXPECT_NE(RunNeighbours<false>(2), want);
  EXPECT_EQ(RunNeighbours<false>(3), RunNeighbours<false>(3));
  EXPECT_NE(RunNeighbours<false>(3), RunNeighbours<false>(4));
}

struct Warps {
  struct Params {
    int* out;
    int broken;
  };
  static constexpr int kThreads = 64, kMinBlocks = 1;
  static QUIRE_DEVICE void Run(const Params& p) {
    int sum = ThreadIndex();
    for (int mask = 16; mask > 0; mask /= 2) sum += ShuffleXor(sum, mask);
    const uint32_t odd = Ballot(ThreadIndex() % 2 == 1);
    const int first = Shuffle(ThreadIndex(), 0);
    if (p.broken == 1 && ThreadIndex() == 3) return;
    if (p.broken == 2 && ThreadIndex() < 32) {
      SyncWarp();
    } else {
      SyncBlock();
    }
    if (p.broken == 3) {
      if (LaneIndex() == 5) {
        Ballot(true);
      } else {
        SyncWarp();
      }
    }
    if (p.broken == 4) CopyAsync16(SharedMemory() + 8, p.out, true);
    if (p.broken == 5) CopyAsync16(SharedMemory() + 64, p.out, true);
    p.out[ThreadIndex()] = sum + first * 1000 + (odd == 0xaaaaaaaau ? 100000 : 0);
    AtomicAdd(p.out + 64, 1);
  }
};

std::string RunWarps(int broken, std::vector<int>& out) {
  out.assign(65, 0);
  Stream stream(9);
  Launch<Warps>(stream, {}, 64, {out.data(), broken});
  return stream.Synchronize();
}

TEST(DeviceLayer, WarpFunctions) {
  std::vector<int> out;
  EXPECT_EQ(RunWarps(0, out), "");
  EXPECT_EQ(out[5], 496 + 100000);
  EXPECT_EQ(out[40], 496 + 32 * 32 + 32000 + 100000);
  EXPECT_EQ(out[64], 64);
}

TEST(DeviceLayer, FaultsAreNamed) {
  std::vector<int> out;
  EXPECT_NE(RunWarps(1, out).find("threads wait for others that never come"), std::string::npos);
  EXPECT_NE(RunWarps(2, out).find("threads wait for others that never come"), std::string::npos);
  EXPECT_NE(RunWarps(3, out).find("different warp functions"), std::string::npos);
  EXPECT_NE(RunWarps(4, out).find("not 16-byte aligned"), std::string::npos);
  EXPECT_NE(RunWarps(5, out).find("outside"), std::string::npos);
  EXPECT_EQ(RunWarps(0, out), "");
}

// Four warps' product with a matrix of 16 x 128 in shared memory: its columns in rows there, or its rows.
template <bool kColumns>
struct GroupProduct {
  struct Params {
    const uint16_t* b;  // [k][n]
    float* out;         // [64][kN]
  };
  static constexpr int kThreads = 128, kMinBlocks = 1, kN = kColumns ? 128 : 64;
  static constexpr int kSharedBytes = 64 * 128 * 2;
  static float A(int row, int k) { return static_cast<float>((row * 3 + k * 5) % 7 - 3); }

  static QUIRE_DEVICE void Run(const Params& p) {
    for (int at = ThreadIndex(); at < 16 * kN; at += kThreads) {
      const int k = at / kN, n = at % kN, row = kColumns ? k : n, byte = kColumns ? n % 64 * 2 : 32 + k * 2;
      const int panel = kColumns ? n / 64 * 8192 : 0;
      std::memcpy(SharedMemory() + panel + row * 128 + (byte / 16 ^ row % 8) * 16 + byte % 16, p.b + at, 2);
    }
    SyncBlock();
    const int row = WarpIndex() * 16 + LaneIndex() / 4, k = LaneIndex() % 4 * 2;
    const uint32_t a[4] = {PackBf16(A(row, k), A(row, k + 1)), PackBf16(A(row + 8, k), A(row + 8, k + 1)),
                           PackBf16(A(row, k + 8), A(row, k + 9)),
                           PackBf16(A(row + 8, k + 8), A(row + 8, k + 9))};
    float d[kN / 8][4] = {};
    GroupFence();
    GroupMmaAsync<kN / 8, kColumns>(d, a, kColumns ? 0 : 2, 8192, 1024);
    GroupCommit();
    GroupWait<0>(d);
    for (int tile = 0; tile < kN / 8; ++tile) {
      for (int i = 0; i < 4; ++i) p.out[(row + i / 2 * 8) * kN + tile * 8 + k + i % 2] = d[tile][i];
    }
  }
};

template <bool kColumns>
void ExpectGroupProduct() {
  using Kernel = GroupProduct<kColumns>;
  constexpr int kN = Kernel::kN;
  std::vector<uint16_t> b(16 * kN);
  for (int i = 0; i < 16 * kN; ++i) b[i] = FloatToBf16(static_cast<float>((i * 11 + i / kN) % 13 - 6));
  std::vector<float> out(64 * kN);
  Stream stream;
  Launch<Kernel>(stream, {}, Kernel::kSharedBytes, {b.data(), out.data()});
  ASSERT_EQ(stream.Synchronize(), "");
  for (int row = 0; row < 64; ++row) {
    for (int n = 0; n < kN; ++n) {
      float want = 0;
      for (int k = 0; k < 16; ++k) want += Kernel::A(row, k) * Bf16ToFloat(b[k * kN + n]);
      ASSERT_EQ(out[row * kN + n], want) << row << " " << n;
    }
  }
}

TEST(DeviceLayer, GroupMmaIsTheProduct) {
  ExpectGroupProduct<false>();
  ExpectGroupProduct<true>();
}

// Reads what the kernel before writes: after its wait, before it, or without any.
template <int kCase>
struct Dependent {
  struct Params {
    const int* in;
    int* out;
  };
  static constexpr int kThreads = 32, kMinBlocks = 1;
  static QUIRE_DEVICE void Run(const Params& p) {
    const int early = *p.in;
    if (kCase != 2) WaitForPriorKernel();
    p.out[LaneIndex()] = kCase == 0 ? *p.in : early;
  }
};

template <int kCase>
std::string RunDependent(int& out) {
  int in = 0, outs[32] = {};
  Stream stream;
  stream.BeforeNextWait([&] { in = 7; });
  Launch<Dependent<kCase>>(stream, {}, 0, {&in, outs}, Order::kOverlapping);
  out = *std::min_element(outs, outs + 32);
  return stream.Synchronize();
}

TEST(DeviceLayer, WhatTheKernelBeforeWritesIsThereAfterTheWait) {
  int out = 0;
  EXPECT_EQ(RunDependent<0>(out), "");
  EXPECT_EQ(out, 7);
  EXPECT_EQ(RunDependent<1>(out), "");
  EXPECT_EQ(out, 0);
  EXPECT_EQ(RunDependent<2>(out), "a kernel that may overlap never waits for the one before");
}

// A copy that nobody waits for.
template <bool kWait>
struct Copied {
  struct Params {
    const float* in;
    float* out;
  };
  static constexpr int kThreads = 32, kMinBlocks = 1;
  static QUIRE_DEVICE void Run(const Params& p) {
    float* mine = reinterpret_cast<float*>(SharedMemory()) + LaneIndex() * 4;
    CopyAsync16(mine, p.in, LaneIndex() % 2 == 0);
    CopyAsyncCommit();
    if (kWait) CopyAsyncWait<0>();
    p.out[LaneIndex()] = mine[1];
  }
};

TEST(DeviceLayer, CopiesLandAtTheWait) {
  alignas(16) const float in[4] = {1, 2, 3, 4};
  float out[32];
  Stream stream;
  Launch<Copied<true>>(stream, {}, 512, {in, out});
  EXPECT_EQ(out[0], 2);
  EXPECT_EQ(out[1], 0);
  Launch<Copied<false>>(stream, {}, 512, {in, out});
  EXPECT_TRUE(std::isnan(out[0]) && std::isnan(out[1]));
  EXPECT_EQ(stream.Synchronize(), "");
}

TEST(DeviceLayer, QueuedCopiesLandWhenSomebodyWaits) {
  Stream stream;
  int device[2] = {1, 2}, pinned[2] = {};
  QueueCopyToHost(stream, pinned, device, sizeof(device));
  device[0] = 9;  // behind the copy in the stream
  EXPECT_EQ(pinned[0], -1);
  EXPECT_EQ(stream.Synchronize(), "");
  EXPECT_EQ(pinned[0], 1);
  QueueCopyToDevice(stream, device, pinned, sizeof(pinned));
  EXPECT_EQ(stream.Synchronize(), "");
  pinned[1] = 5;  // nobody's any more
  EXPECT_EQ(stream.Synchronize(), "");
  QueueCopyToDevice(stream, device, pinned, sizeof(pinned));
  pinned[1] = 6;
  EXPECT_EQ(stream.Synchronize(), "pinned memory was written while a copy of it was queued");
}

TEST(DeviceLayer, WhatIsBehindAnEventIsNotWaitedFor) {
  Stream stream;
  Event never(stream), first(stream), second(stream);
  int device = 1, mine[2] = {}, shared = 0, sent = 3;
  const auto fetch = [&](int to, Event& end) {
    QueueCopyToHost(stream, &mine[to], &device, sizeof device);
    QueueCopyToHost(stream, &shared, &device, sizeof device);
    end.Record(stream);
    ++device;
  };
  fetch(0, first);
  QueueCopyToDevice(stream, &device, &sent, sizeof sent);
  fetch(1, second);
  EXPECT_EQ(never.Wait(stream), "");
  EXPECT_EQ(stream.waits(), 0);
  EXPECT_EQ(first.Wait(stream), "");
  EXPECT_EQ(mine[0], 1);
  EXPECT_EQ(mine[1], -1);
  EXPECT_EQ(shared, -1) << "what comes later may be there already";
  EXPECT_EQ(first.Wait(stream), "");
  EXPECT_EQ(stream.waits(), 1);
  sent = 4;
  stream.Record("of a launch");
  EXPECT_EQ(second.Wait(stream), "pinned memory was written while a copy of it was queued");
  EXPECT_EQ(mine[1], 3);
  EXPECT_EQ(shared, 3);
  EXPECT_EQ(stream.TakeError(), "of a launch");
}

// What is captured waits for nothing that was queued before.
TEST(DeviceLayer, ACaptureWaitsForNothing) {
  Stream stream;
  int device = 1, pinned = 0, outs[32] = {};
  QueueCopyToHost(stream, &pinned, &device, sizeof device);
  const Graph graph(stream, [&](Stream& on) { Launch<Dependent<0>>(on, {}, 0, {&device, outs}); });
  EXPECT_EQ(graph.error(), "");
  EXPECT_EQ(graph.nodes(), 1u);
  EXPECT_EQ(stream.waits(), 0);
  stream.Record("of before");
  EXPECT_EQ(Graph(stream, [](Stream&) {}).error(), "of before");
}

}  // namespace
}  // namespace quire::kernels::cuda
