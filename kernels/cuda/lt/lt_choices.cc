#include "kernels/cuda/lt/lt_choices.h"

#include <utility>

namespace quire::kernels::cuda {
namespace {

constexpr int kOfChain = 66;  // the id of the algorithms that sum as our chain does

bool IsOfChain(const LtConfig& config) { return config.id == kOfChain && config.split_k <= 1; }

}  // namespace

LtChoices::LtChoices(LtCalls calls, LtChoicesOptions options)
    : calls_(std::move(calls)), options_(std::move(options)) {}

void LtChoices::Choose(Stream& stream, std::span<const LtProduct> products) {
  std::map<LtShape, LtProduct> wanted;
  for (const LtProduct& product : products) {
    if (!chosen_.contains(product.shape)) wanted.try_emplace(product.shape, product);
  }
  const LtKept kept = options_.load && !wanted.empty() ? options_.load() : LtKept();
  std::erase_if(wanted, [&](const auto& entry) {
    const auto found = kept.find(entry.first);
    if (found == kept.end()) return false;
    Chosen chosen = ChooseKept(entry.first, found->second);
    const bool holds = chosen.operation != nullptr;
    if (holds) chosen_.emplace(entry.first, std::move(chosen));
    return holds;
  });
  int done = 0;
  for (const auto& [shape, product] : wanted) {
    if (options_.progress) options_.progress(done++, static_cast<int>(wanted.size()));
    chosen_.emplace(shape, ChooseFastest(stream, product));
  }
  if (options_.progress && !products.empty()) options_.progress(done, done);
  if (!wanted.empty()) Store();
}

void LtChoices::Store() const {
  if (!options_.store) return;
  LtKept all;
  for (const auto& [shape, chosen] : chosen_) {
    if (chosen.operation != nullptr) all.emplace(shape, chosen.algorithm.config);
  }
  if (!all.empty()) options_.store(all);
}

LtAnswer LtChoices::Run(Stream& stream, const LtProduct& product) {
  auto found = chosen_.find(product.shape);
  if (found == chosen_.end()) {
    if (calls_.is_captured(stream)) return LtAnswer::kFailed;  // it must be chosen before
    found = chosen_.emplace(product.shape, ChooseFastest(stream, product)).first;
  }
  const Chosen& chosen = found->second;
  if (chosen.operation == nullptr) return LtAnswer::kNoChain;
  return chosen.operation->Run(chosen.algorithm, product, stream) ? LtAnswer::kDone : LtAnswer::kFailed;
}

// No operation: what was kept is not to be had here.
LtChoices::Chosen LtChoices::ChooseKept(const LtShape& shape, const LtConfig& kept) {
  Chosen chosen{.operation = calls_.open(shape)};
  if (chosen.operation == nullptr || !IsOfChain(kept)) return {};
  for (const LtAlgorithm& offer : chosen.operation->Offers()) {
    if (offer.config != kept || !chosen.operation->Supports(offer)) continue;
    chosen.algorithm = offer;
    return chosen;
  }
  return {};
}

LtChoices::Chosen LtChoices::ChooseFastest(Stream& stream, const LtProduct& product) {
  Chosen chosen{.operation = calls_.open(product.shape)};
  LtChoice choice{.shape = product.shape};
  std::optional<double> least;
  if (chosen.operation != nullptr) {
    for (const LtAlgorithm& offer : chosen.operation->Offers()) {
      if (!IsOfChain(offer.config)) continue;
      ++choice.candidates;
      const std::optional<double> us = chosen.operation->TimeUs(offer, product, stream);
      if (!us || (least && *us >= *least)) continue;
      least = us;
      chosen.algorithm = offer;
    }
  }
  if (least) {
    choice.us = *least;
    choice.algorithm = NameOf(chosen.algorithm.config);
  } else {
    chosen.operation = nullptr;
  }
  if (options_.chose) options_.chose(choice);
  return chosen;
}

}  // namespace quire::kernels::cuda
