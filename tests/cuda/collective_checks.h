// What every communicator of ranks on GPUs must do, whatever moves the bytes: sums with the bits of
// worker/parallel/rank_sum.h, everybody's columns on rank 0, and rank 0's words everywhere. Each rank's
// thread calls it with its own.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "kernels/communicator.h"
#include "kernels/cuda/device/device.h"
#include "worker/parallel/rank_sum.h"

namespace quire::kernels::cuda {

struct RowsAndColumns {
  int64_t rows, columns;
};

inline std::vector<float> AnyValues(uint64_t seed, size_t count) {
  std::mt19937_64 random(seed);
  std::vector<float> values(count);
  for (float& x : values) {
    x = static_cast<float>(static_cast<int64_t>(random())) / static_cast<float>(1ll << (random() % 50));
  }
  return values;
}

// What each rank has of sum number `turn`, and what they come to.
struct Parts {
  Parts(int ranks, uint64_t turn, size_t count) : sum(count) {
    std::vector<const float*> views;
    for (int rank = 0; rank < ranks; ++rank) of.push_back(AnyValues(turn * 100 + rank, count));
    for (const auto& part : of) views.push_back(part.data());
    worker::SumRanks(views, static_cast<int64_t>(count), sum.data());
  }
  std::vector<std::vector<float>> of;
  std::vector<float> sum;
};

inline void CheckSums(Stream& stream, Communicator& communicator, std::span<const RowsAndColumns> shapes) {
  uint64_t turn = 0;
  for (const auto& [rows, columns] : shapes) {
    const Parts parts(communicator.size(), ++turn, static_cast<size_t>(rows * columns));
    std::vector<float> x = parts.of[communicator.rank()];
    ASSERT_TRUE(communicator.AllReduceSum({x.data(), DType::kF32, rows, columns, columns}).ok());
    ASSERT_EQ(stream.Synchronize(), "");
    EXPECT_EQ(std::memcmp(x.data(), parts.sum.data(), x.size() * sizeof(float)), 0)
        << rows << " x " << columns;
  }
}

inline void CheckColumns(Stream& stream, Communicator& communicator, std::span<const int64_t> counts) {
  const int rank = communicator.rank();
  const auto value = [](int64_t row, int64_t column) { return static_cast<float>(row * 10000 + column); };
  for (const int64_t rows : counts) {
    std::vector<int64_t> columns, begin{0};
    for (int r = 0; r < communicator.size(); ++r) {
      columns.push_back(r == 2 ? 0 : 61 + 90 * r);
      begin.push_back(begin.back() + columns.back());
    }
    const int64_t stride = (rank == 0 ? begin.back() : columns[rank]) + 3;
    std::vector<float> x(static_cast<size_t>(rows * stride), -1);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t i = 0; i < columns[rank]; ++i) x[row * stride + i] = value(row, begin[rank] + i);
    }
    ASSERT_TRUE(
        communicator.GatherColumns({x.data(), DType::kF32, rows, columns[rank], stride}, columns).ok());
    ASSERT_EQ(stream.Synchronize(), "");
    for (int64_t i = 0; rank == 0 && i < rows * stride; ++i) {
      const int64_t column = i % stride;
      ASSERT_EQ(x[i], column < begin.back() ? value(i / stride, column) : -1.0f) << i;
    }
  }
}

inline void CheckBroadcasts(Stream& stream, Communicator& communicator, std::span<const int64_t> counts) {
  uint64_t turn = 0;
  for (const int64_t count : counts) {
    const Parts parts(communicator.size(), ++turn, static_cast<size_t>(count));
    std::vector<float> x = parts.of[communicator.rank()];
    ASSERT_TRUE(communicator.Broadcast({x.data(), DType::kF32, 1, count, count}).ok());
    ASSERT_EQ(stream.Synchronize(), "");
    EXPECT_EQ(std::memcmp(x.data(), parts.of[0].data(), x.size() * sizeof(float)), 0) << count;
  }
}

}  // namespace quire::kernels::cuda
