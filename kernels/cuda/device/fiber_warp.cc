// What a warp does together, lane by lane, and copies that land only when they are waited for.
#include <bit>

#include "kernels/bf16.h"
#include "kernels/cuda/device/device_fiber.h"

namespace quire::kernels::cuda {
namespace {

constexpr int kLost = 0xff;  // each byte: NaN

// Where 16 bytes of shared memory stand; ends the launch where they don't.
std::byte* CheckShared16(const void* address, const char* what) {
  const FiberState& fiber = CurrentFiber();
  auto* at = static_cast<std::byte*>(const_cast<void*>(address));
  const bool inside = at >= fiber.shared && at + 16 <= fiber.shared + fiber.shared_bytes;
  if (!inside || reinterpret_cast<uintptr_t>(at) % 16 != 0) {
    FailLaunch(std::string(what) + " at offset " + std::to_string(at - fiber.shared) + " of " +
               std::to_string(fiber.shared_bytes) +
               " bytes of shared memory: outside, or not 16-byte aligned");
  }
  return at;
}

struct MmaOperands {
  uint32_t a[4], b[2];
};

float Half(uint32_t packed, int half) {
  return kernels::Bf16ToFloat(static_cast<uint16_t>(half == 0 ? packed : packed >> 16));
}

// Matrix element pairs as a lane gets them: row g, columns 2t and 2t + 1; transposed, rows 2t and 2t + 1,
// column g.
void LdMatrix(uint32_t (&r)[4], const void* row, bool transposed) {
  const std::byte* mine = CheckShared16(row, "ldmatrix");
  const WarpView rows = FiberExchange(WarpOp::kLdMatrix, &mine, sizeof(mine));
  const int lane = LaneIndex(), g = lane / 4, t = lane % 4;
  for (int matrix = 0; matrix < 4; ++matrix) {
    uint16_t pair[2];
    for (int i = 0; i < 2; ++i) {
      const int at_row = transposed ? 2 * t + i : g, column = transposed ? g : 2 * t + i;
      std::memcpy(&pair[i], rows.Of<const std::byte*>(matrix * 8 + at_row) + column * 2, 2);
    }
    r[matrix] = pair[0] | static_cast<uint32_t>(pair[1]) << 16;
  }
}

void Land(const std::vector<PendingCopy>& group) {
  for (const PendingCopy& copy : group) {
    if (copy.from != nullptr) {
      std::memcpy(copy.to, copy.from, 16);
    } else {
      std::memset(copy.to, 0, 16);
    }
  }
}

}  // namespace

uint32_t Ballot(bool value) {
  const WarpView votes = FiberExchange(WarpOp::kBallot, &value, sizeof(value));
  uint32_t mask = 0;
  for (int lane = 0; lane < kWarpLanes; ++lane) mask |= static_cast<uint32_t>(votes.Of<bool>(lane)) << lane;
  return mask;
}

void LdMatrix4(uint32_t (&r)[4], const void* row) { LdMatrix(r, row, false); }
void LdMatrix4Trans(uint32_t (&r)[4], const void* row) { LdMatrix(r, row, true); }

void MmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  MmaOperands mine;
  std::memcpy(mine.a, a, sizeof(a));
  std::memcpy(mine.b, b, sizeof(b));
  const WarpView warp = FiberExchange(WarpOp::kMma, &mine, sizeof(mine));
  const int g = LaneIndex() / 4, t = LaneIndex() % 4;
  for (int pair = 0; pair < 8; ++pair) {  // k = 2 * pair, 2 * pair + 1
    const int high = pair / 4, from = pair % 4;
    const MmaOperands row = warp.Of<MmaOperands>(g * 4 + from);
    const MmaOperands columns[2] = {warp.Of<MmaOperands>(2 * t * 4 + from),
                                    warp.Of<MmaOperands>((2 * t + 1) * 4 + from)};
    for (int half = 0; half < 2; ++half) {
      for (int out = 0; out < 4; ++out) {
        d[out] += Half(row.a[2 * high + out / 2], half) * Half(columns[out % 2].b[high], half);
      }
    }
  }
}

// Address bits 4 to 6 are permuted by bits 7 to 9.
uint16_t FiberSwizzledAt(int offset) {
  const FiberState& fiber = CurrentFiber();
  const int at = offset ^ (offset >> 7 & 7) << 4;
  uint16_t value = 0;
  std::memcpy(&value, CheckShared16(fiber.shared + at / 16 * 16, "a matrix of wgmma") + at % 16,
              sizeof(value));
  return value;
}

// The target is lost from now on: whoever reads it before the wait, or still reads what stood there, sees
// NaNs.
void CopyAsync16(void* shared, const void* global, bool valid) {
  std::byte* to = CheckShared16(shared, "an asynchronous copy");
  if (valid && reinterpret_cast<uintptr_t>(global) % 16 != 0)
    FailLaunch("an asynchronous copy from unaligned memory");
  std::memset(to, kLost, 16);
  CurrentFiber().open_group.push_back({to, valid ? static_cast<const std::byte*>(global) : nullptr});
}

void CopyAsyncCommit() {
  FiberState& fiber = CurrentFiber();
  fiber.groups.push_back(std::move(fiber.open_group));
  fiber.open_group.clear();
}

void FiberCopyWait(size_t groups_left) {
  auto& groups = CurrentFiber().groups;
  while (groups.size() > groups_left) {
    Land(groups.front());
    groups.erase(groups.begin());
  }
}

}  // namespace quire::kernels::cuda
