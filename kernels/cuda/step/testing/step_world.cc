#include "kernels/cuda/step/testing/step_world.h"

#include <algorithm>
#include <random>

namespace quire::kernels::cuda {
namespace {

int PagesOf(int positions) { return (positions + kPageKeys - 1) / kPageKeys; }

}  // namespace

StepWorld::StepWorld(Stream& stream, const GeneratedModel& model, const StepLimits& limits, int sequences,
                     int positions, int processors)
    : stream_(stream),
      model_(model),
      positions_(positions),
      processors_(processors),
      buffers_(stream, model.shape(), limits),
      kv_(stream, model.shape(), sequences * PagesOf(positions)) {
  std::vector<int32_t> blocks;
  for (int i = 0; i < kv_.pages; ++i) blocks.push_back(i);
  std::shuffle(blocks.begin(), blocks.end(), std::mt19937(5));
  for (int i = 0; i < sequences; ++i) {
    pages_.emplace_back(blocks.end() - PagesOf(positions), blocks.end());
    blocks.resize(blocks.size() - static_cast<size_t>(PagesOf(positions)));
  }
  uint32_t seed = 77;
  for (const DeviceArray<uint16_t>& layer : kv_.layers_bf16) {
    if (layer.size() > 0) FillGenerated(stream_, layer.data(), {layer.size(), 1, 0, ++seed});
  }
}

int32_t StepWorld::Id(int sequence, int position) const {
  const uint32_t bits =
      (static_cast<uint32_t>(sequence) * 7919u + static_cast<uint32_t>(position)) * 2654435761u;
  return static_cast<int32_t>((bits >> 8) % static_cast<uint32_t>(shape().vocabulary));
}

StepBatch StepWorld::Batch(const std::vector<StepPiece>& pieces, const SampleRule& rule) const {
  std::vector<std::vector<int32_t>> ids;
  std::vector<StepSpan> spans;
  for (const StepPiece& piece : pieces) {
    ids.emplace_back();
    const int from = piece.ids_of < 0 ? piece.sequence : piece.ids_of;
    for (int i = 0; i < piece.tokens; ++i) ids.back().push_back(Id(from, piece.position + i));
  }
  for (size_t i = 0; i < pieces.size(); ++i)
    spans.push_back({ids[i], pieces[i].position, pages_[static_cast<size_t>(pieces[i].sequence)], rule});
  return MakeStepBatch(shape(), spans, processors_,
                       static_cast<int64_t>(buffers_.partial_state_f32.size() / 2));
}

StepPlan StepWorld::Load(const std::vector<StepPiece>& pieces, const SampleRule& rule) {
  return UploadBatch(stream_, Batch(pieces, rule), buffers_);
}

StepModel StepWorld::Model(Gemm& gemm) const { return {shape(), model_.weights(), kv_, buffers_, gemm}; }

std::vector<float> StepWorld::Logits(int count) {
  const auto stride = static_cast<size_t>(shape().LogitsStride()),
             width = static_cast<size_t>(shape().vocabulary);
  const std::vector<float> rows = buffers_.logits_f32.Download(stream_, static_cast<size_t>(count) * stride);
  std::vector<float> logits;
  for (size_t row = 0; row < static_cast<size_t>(count); ++row) {
    const auto from = rows.begin() + static_cast<int64_t>(row * stride);
    logits.insert(logits.end(), from, from + static_cast<int64_t>(width));
  }
  return logits;
}

std::vector<float> StepWorld::Run(const std::vector<StepPiece>& pieces, Gemm& gemm,
                                  const StepOptions& options) {
  const StepPlan plan = Load(pieces, SampleRule{.scale = 0});
  EnqueueStep(stream_, Model(gemm), plan, options);
  return Logits(plan.sequences);
}

}  // namespace quire::kernels::cuda
