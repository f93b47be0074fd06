#include "kernels/sampling/run_bounds.h"

#include <algorithm>
#include <functional>
#include <iterator>

namespace quire::kernels {

float NthLargest(std::span<const float> values, size_t count, const RowScans& scans,
                 std::vector<float>& order, std::vector<float>& groups) {
  order.clear();
  const size_t size = (values.size() + kRunIds - 1) / kRunIds;
  if (count <= size) {
    // The count-th best group's best bounds it from below.
    groups.resize(size);
    scans.maxima(values.data(), std::ssize(values), groups.data());
    const auto nth = groups.begin() + static_cast<ptrdiff_t>(count) - 1;
    std::ranges::nth_element(groups, nth, std::greater<>());
    const float bound = *nth;
    std::ranges::copy_if(values, std::back_inserter(order), [bound](float value) { return value >= bound; });
  } else {
    order.assign(values.begin(), values.end());
  }
  const auto nth = order.begin() + static_cast<ptrdiff_t>(count) - 1;
  std::ranges::nth_element(order, nth, std::greater<>());
  return *nth;
}

}  // namespace quire::kernels
