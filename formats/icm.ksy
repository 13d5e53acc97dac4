meta:
  id: icm
  title: Layered learned picture
  file-extension: icm
  license: Apache-2.0
  ks-version: '0.10'
  endian: le
  bit-endian: be
doc: |
  The structure of .icm files. formats/icm.md says what it means, what a reader has to check beyond
  it, and how masks and segments are coded: here they are bytes.
doc-ref: icm.md
seq:
  - id: signature
    contents: [0x89, ICM, 0x0d, 0x0a, 0x1a, 0x0a]
  - id: major
    type: u1
    valid:
      max: 1
  - id: minor
    type: u1
  - id: header
    type: chunk
    doc: Its payload is a head; the types of the other payloads depend on it.
  - id: chunks
    type: chunk
    repeat: eos
enums:
  mask_kind:
    0: full
    1: empty
    2: derived
    3: explicit
types:
  number:
    doc: An unsigned LEB128 varint below 2^32 in its shortest form.
    seq:
      - id: bytes
        type: u1
        repeat: until
        repeat-until: _ < 128
        valid:
          expr: _index == 0 or (_ != 0 and (_index < 4 or _ < 16))
    instances:
      value:
        value: >-
          ((bytes[0] & 127)
          + (bytes.size > 1 ? (bytes[1] & 127) * 128 : 0)
          + (bytes.size > 2 ? (bytes[2] & 127) * 16384 : 0)
          + (bytes.size > 3 ? (bytes[3] & 127) * 2097152 : 0)
          + (bytes.size > 4 ? bytes[4].as<u4> * 268435456 : 0)).as<u4>
  chunk:
    seq:
      - id: type
        type: str
        size: 4
        encoding: ASCII
      - id: place
        type: number
      - id: length
        type: number
      - id: payload
        size: length.value
        type:
          switch-on: type
          cases:
            '"HEAD"': head
            '"HYPR"': hyper
            '"LAYR"': layer
            '"iCCp"': deflated
            '"eXIf"': deflated
            '"xMPp"': deflated
            '"aLPh"': alpha
        doc: Bytes, where the type is not known.
      - id: crc
        type: u4
        doc: CRC-32 over all of the chunk before it.
  head:
    seq:
      - id: file_id
        size: 8
      - id: width
        type: number
      - id: height
        type: number
      - id: channels
        type: u1
      - id: depth
        type: u1
      - id: tile_columns
        type: number
      - id: tile_rows
        type: number
      - id: ancillary
        type: number
        doc: Ancillary chunks of the complete file.
      - id: num_groups
        type: number
      - id: groups
        type: group
        repeat: expr
        repeat-expr: num_groups.value
      - id: num_layers
        type: number
      - id: layers
        type: layer_entry
        repeat: expr
        repeat-expr: num_layers.value
    instances:
      num_tiles:
        value: tile_columns.value * tile_rows.value
  group:
    seq:
      - id: codec
        type: codec_reference
      - id: quality
        type: u2
        doc: Times 256.
      - id: skip
        type: u1
      - id: hyper_crc
        type: u4
  layer_entry:
    seq:
      - id: group
        type: number
      - id: task
        type: task_name
      - id: level
        type: u1
      - id: flags
        type: flags
      - id: mask_crc
        type: u4
        if: flags.mask == mask_kind::derived or flags.mask == mask_kind::explicit
      - id: symbols
        type: number
      - id: symbols_crc
        type: u4
      - id: predictor
        type: bundle_reference
        if: flags.mask == mask_kind::derived
      - id: adapter
        type: bundle_reference
        if: flags.adapter
  flags:
    seq:
      - id: reserved
        type: b5
        valid: 0
      - id: adapter
        type: b1
      - id: mask
        type: b2
        enum: mask_kind
  codec_reference:
    seq:
      - id: id
        type: codec_name
      - id: fingerprint
        size: 8
  bundle_reference:
    seq:
      - id: id
        type: bundle_name
      - id: fingerprint
        size: 8
  codec_name:
    seq:
      - id: code
        type: u1
        valid:
          max: 4
      - id: length
        type: u1
        valid:
          min: 1
          max: 64
        if: code == 0
      - id: name
        type: str
        size: length
        encoding: ASCII
        if: code == 0
    instances:
      value:
        value: >-
          code == 1 ? "mbt2018-mean-gain-0"
          : code == 2 ? "test-tiny"
          : code == 3 ? "mbt2018-mean"
          : code == 4 ? "bmshj2018-hyperprior"
          : name
  bundle_name:
    seq:
      - id: code
        type: u1
        valid:
          max: 1
      - id: length
        type: u1
        valid:
          min: 1
          max: 64
        if: code == 0
      - id: name
        type: str
        size: length
        encoding: ASCII
        if: code == 0
    instances:
      value:
        value: >-
          code == 1 ? "det-0"
          : name
  task_name:
    seq:
      - id: code
        type: u1
        valid:
          max: 4
      - id: length
        type: u1
        valid:
          min: 1
          max: 64
        if: code == 0
      - id: name
        type: str
        size: length
        encoding: ASCII
        if: code == 0
    instances:
      value:
        value: >-
          code == 1 ? "human"
          : code == 2 ? "cls"
          : code == 3 ? "det"
          : code == 4 ? "seg"
          : name
  hyper:
    seq:
      - id: group
        type: number
      - id: num_segments
        type: number
        valid:
          expr: _.value > 0
      - id: lengths
        type: number
        repeat: expr
        repeat-expr: num_segments.value - 1
      - id: segments
        size: lengths[_index].value
        repeat: expr
        repeat-expr: num_segments.value - 1
      - id: last_segment
        size-eos: true
  layer:
    seq:
      - id: layer
        type: number
      - id: tile_table
        type: tile_entry
        repeat: expr
        repeat-expr: head.num_tiles
        if: is_tiled and entry.symbols.value > 0
      - id: tiles
        type: tile(tile_table[_index].symbols.value, is_explicit and tile_table[_index].symbols.value > 0)
        size: tile_table[_index].length.value
        repeat: expr
        repeat-expr: head.num_tiles
        if: is_tiled and entry.symbols.value > 0
      - id: untiled
        type: tile(entry.symbols.value, is_explicit)
        size-eos: true
        if: not is_tiled
        doc: The only tile of a picture that is not tiled.
    instances:
      head:
        value: _root.header.payload.as<head>
      entry:
        value: head.layers[layer.value]
      is_explicit:
        value: entry.flags.mask == mask_kind::explicit
      is_tiled:
        value: head.num_tiles > 1
  tile_entry:
    seq:
      - id: symbols
        type: number
      - id: length
        type: number
      - id: crc
        type: u4
  tile:
    params:
      - id: symbols
        type: u4
      - id: has_mask
        type: bool
    seq:
      - id: mask_length
        type: number
        if: has_mask
      - id: mask
        size: mask_length.value
        if: has_mask
      - id: lengths
        type: number
        repeat: expr
        repeat-expr: num_segments - 1
        if: num_segments > 0
      - id: segments
        size: lengths[_index].value
        repeat: expr
        repeat-expr: num_segments - 1
        if: num_segments > 0
      - id: last_segment
        size-eos: true
        if: num_segments > 0
    instances:
      num_segments:
        value: (symbols + 65535) / 65536
  deflated:
    seq:
      - id: compressed
        size-eos: true
    instances:
      data:
        pos: 0
        size-eos: true
        process: zlib
  alpha:
    seq:
      - id: picture
        size-eos: true
        doc: Lossless WebP or grey PNG.
