// The filters that apply a test or a filter to each item: select, reject, selectattr, rejectattr, map. As
// Jinja's, they give an iterator, and of a value that is false (None, undefined, 0) an empty one.
#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/builtins.h"

namespace quire::gateway::jinja {
namespace {

using Result = absl::StatusOr<Value>;

// [attribute,] [test, its arguments]. Without a test, an item passes if it is true.
template <bool kByAttribute, bool kWanted>
Result SelectFilter(const Value& input, const Arguments& arguments, Meter& meter) {
  if (!input.Truthy()) return Value::MakeIterator({});
  const auto& given = arguments.positional;
  const size_t test_place = kByAttribute ? 1 : 0;
  if (kByAttribute && given.empty()) return Wrong("needs an attribute");
  Arguments of_test{.positional = {}, .named = arguments.named};
  if (given.size() > test_place) of_test.positional.assign(given.begin() + test_place + 1, given.end());
  QUIRE_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(input, meter));
  std::vector<Value> selected;
  for (Value& item : items) {
    Value subject = item;
    if (kByAttribute) {
      QUIRE_ASSIGN_OR_RETURN(subject, GetPath(item, given[0], nullptr, meter));
    }
    bool passes = subject.Truthy();
    if (given.size() > test_place) {
      QUIRE_ASSIGN_OR_RETURN(passes, ApplyTest(Print(given[test_place]).text(), subject, of_test, meter));
    }
    if (passes == kWanted) selected.push_back(std::move(item));
  }
  return Value::MakeIterator(std::move(selected));
}

// map(attribute="name", default=value) or map("filter", its arguments).
Result MapFilter(const Value& input, const Arguments& arguments, Meter& meter) {
  if (!input.Truthy()) return Value::MakeIterator({});
  QUIRE_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(input, meter));
  if (arguments.positional.empty()) {
    QUIRE_RETURN_IF_ERROR(arguments.Check(0, {"attribute", "default"}));
    const Value* attribute = arguments.Get(0, "attribute");
    if (attribute == nullptr) return Wrong("needs an attribute or a filter");
    for (Value& item : items) {
      QUIRE_ASSIGN_OR_RETURN(item, GetPath(item, *attribute, arguments.GetUnlessNone(1, "default"), meter));
    }
    return Value::MakeIterator(std::move(items));
  }
  const std::string filter = Print(arguments.positional[0]).text();
  const Arguments of_filter{.positional = {arguments.positional.begin() + 1, arguments.positional.end()},
                            .named = arguments.named};
  size_t weight = 0;
  for (Value& item : items) {
    QUIRE_ASSIGN_OR_RETURN(item, ApplyFilter(filter, item, of_filter, meter));
    weight += item.weight();
    if (weight > kMaxValueBytes) return Wrong("the items become too large");
  }
  return Value::MakeIterator(std::move(items));
}

}  // namespace

const FilterTable& SelectionFilters() {
  static const FilterTable filters = {{"select", SelectFilter<false, true>},
                                      {"reject", SelectFilter<false, false>},
                                      {"selectattr", SelectFilter<true, true>},
                                      {"rejectattr", SelectFilter<true, false>},
                                      {"map", MapFilter}};
  return filters;
}

}  // namespace quire::gateway::jinja
