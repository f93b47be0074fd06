// Panels of a packed matrix (packed_matrix.h), by format: up to 48 rows of the weight, interleaved as the
// kernels read them. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/backend.h"

namespace quire::kernels::cpu {

// The parts as one tall matrix.
class TallMatrix {
 public:
  TallMatrix(std::span<const HostMatrix> parts, int64_t k, int64_t leaves)
      : k(k), leaves(leaves), group(parts[0].group), parts_(parts) {}

  const uint16_t* bf16(int64_t row) const;
  const int8_t* int8(int64_t row) const;
  const uint16_t* scales(int64_t row) const;

  const int64_t k, leaves;
  const int64_t group;  // 0: in bf16

 private:
  struct Place {
    const HostMatrix& part;
    int64_t row;
  };
  Place Find(int64_t row) const;

  const std::span<const HostMatrix> parts_;
};

// What a panel of so many strips of 16 rows takes; a multiple of a cache line.
int64_t PanelBytes(const TallMatrix& source, int64_t strips);

// Writes rows [first, first + rows), rows <= 48, as one panel into zeros, and returns where the next one
// starts.
uint8_t* PackPanel(const TallMatrix& source, int64_t first, int64_t rows, uint8_t* out);

}  // namespace quire::kernels::cpu
