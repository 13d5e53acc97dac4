// Feeds cases to CompressAI's range coder, its own source included, under AddressSanitizer.
// Input: little-endian int32 numbers. Tables: count, row length, rows, lengths, offsets.
// Then cases: 0, bytes, number of symbols, indexes, stream (padded to words); or
//             1, number of symbols, indexes, symbols.

#include "rans_interface.cpp"

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>

static std::vector<char> data;
static size_t at = 0;

static int32_t number() {
  int32_t value;
  std::memcpy(&value, data.data() + at, 4);
  at += 4;
  return value;
}

static std::vector<int32_t> numbers(size_t count) {
  std::vector<int32_t> values(count);
  for (auto &value : values)
    value = number();
  return values;
}

int main(int, char **argv) {
  std::ifstream file(argv[1], std::ios::binary);
  data.assign(std::istreambuf_iterator<char>(file), {});
  const int tables = number(), width = number();
  std::vector<std::vector<int32_t>> cdfs;
  for (int i = 0; i < tables; ++i)
    cdfs.push_back(numbers(width));
  const auto lengths = numbers(tables), offsets = numbers(tables);
  int cases = 0;
  for (; at < data.size(); ++cases) {
    if (number() == 0) {
      const size_t bytes = number(), count = number();
      const auto indexes = numbers(count);
      const std::string stream(data.data() + at, bytes); // a block of the heap, exactly so long
      at += (bytes + 3) / 4 * 4;
      RansDecoder().decode_with_indexes(stream, indexes, cdfs, lengths, offsets);
    } else {
      const size_t count = number();
      const auto indexes = numbers(count), symbols = numbers(count);
      RansEncoder().encode_with_indexes(symbols, indexes, cdfs, lengths, offsets);
    }
  }
  std::printf("%d cases\n", cases);
}
