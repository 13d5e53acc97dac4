# ruff: noqa
# fmt: off
# This is a generated file! Please edit source .ksy file and use kaitai-struct-compiler to rebuild
# type: ignore

import kaitaistruct
from kaitaistruct import KaitaiStruct, KaitaiStream, BytesIO
from enum import IntEnum
import zlib


if getattr(kaitaistruct, 'API_VERSION', (0, 9)) < (0, 11):
    raise Exception("Incompatible Kaitai Struct Python API: 0.11 or later is required, but you have %s" % (kaitaistruct.__version__))

class Icm(KaitaiStruct):
    """The structure of .icm files. formats/icm.md says what it means, what a reader has to check beyond
    it, and how masks and segments are coded: here they are bytes.
    
    .. seealso::
       icm.md
    """

    class MaskKind(IntEnum):
        full = 0
        empty = 1
        derived = 2
        explicit = 3
    def __init__(self, _io, _parent=None, _root=None):
        super(Icm, self).__init__(_io)
        self._parent = _parent
        self._root = _root or self
        self._read()

    def _read(self):
        self.signature = self._io.read_bytes(8)
        if not self.signature == b"\x89\x49\x43\x4D\x0D\x0A\x1A\x0A":
            raise kaitaistruct.ValidationNotEqualError(b"\x89\x49\x43\x4D\x0D\x0A\x1A\x0A", self.signature, self._io, u"/seq/0")
        self.major = self._io.read_u1()
        if not self.major <= 1:
            raise kaitaistruct.ValidationGreaterThanError(1, self.major, self._io, u"/seq/1")
        self.minor = self._io.read_u1()
        self.header = Icm.Chunk(self._io, self, self._root)
        self.chunks = []
        i = 0
        while not self._io.is_eof():
            self.chunks.append(Icm.Chunk(self._io, self, self._root))
            i += 1



    def _fetch_instances(self):
        pass
        self.header._fetch_instances()
        for i in range(len(self.chunks)):
            pass
            self.chunks[i]._fetch_instances()


    class Alpha(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.Alpha, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.picture = self._io.read_bytes_full()


        def _fetch_instances(self):
            pass


    class Audio(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.Audio, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.stream = Icm.Number(self._io, self, self._root)
            self.time = Icm.Signed(self._io, self, self._root)
            self.duration = Icm.Number(self._io, self, self._root)
            self.data = self._io.read_bytes_full()


        def _fetch_instances(self):
            pass
            self.stream._fetch_instances()
            self.time._fetch_instances()
            self.duration._fetch_instances()


    class AudioStream(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.AudioStream, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.codec = Icm.Text(self._io, self, self._root)
            self.rate = Icm.Number(self._io, self, self._root)
            self.layout = Icm.Text(self._io, self, self._root)
            self.time_base = Icm.Ratio(self._io, self, self._root)
            self.len_extradata = Icm.Number(self._io, self, self._root)
            self.extradata = self._io.read_bytes(self.len_extradata.value)


        def _fetch_instances(self):
            pass
            self.codec._fetch_instances()
            self.rate._fetch_instances()
            self.layout._fetch_instances()
            self.time_base._fetch_instances()
            self.len_extradata._fetch_instances()


    class BundleName(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.BundleName, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.code = self._io.read_u1()
            if not self.code <= (4 if self._root.has_codes_1_1 else 1):
                raise kaitaistruct.ValidationGreaterThanError((4 if self._root.has_codes_1_1 else 1), self.code, self._io, u"/types/bundle_name/seq/0")
            if self.code == 0:
                pass
                self.length = self._io.read_u1()
                if not self.length >= 1:
                    raise kaitaistruct.ValidationLessThanError(1, self.length, self._io, u"/types/bundle_name/seq/1")
                if not self.length <= 64:
                    raise kaitaistruct.ValidationGreaterThanError(64, self.length, self._io, u"/types/bundle_name/seq/1")

            if self.code == 0:
                pass
                self.name = (self._io.read_bytes(self.length)).decode(u"ASCII")



        def _fetch_instances(self):
            pass
            if self.code == 0:
                pass

            if self.code == 0:
                pass


        @property
        def value(self):
            if hasattr(self, '_m_value'):
                return self._m_value

            self._m_value = (u"det-0" if self.code == 1 else (u"det-1" if self.code == 2 else (u"cls-1" if self.code == 3 else (u"seg-1" if self.code == 4 else self.name))))
            return getattr(self, '_m_value', None)


    class BundleReference(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.BundleReference, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.id = Icm.BundleName(self._io, self, self._root)
            self.fingerprint = self._io.read_bytes(8)


        def _fetch_instances(self):
            pass
            self.id._fetch_instances()


    class Choice(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.Choice, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.level = self._io.read_u1()
            self.flags = Icm.Flags(self._io, self, self._root)
            if self.flags.mask == Icm.MaskKind.derived:
                pass
                self.predictor = Icm.BundleReference(self._io, self, self._root)

            if self.flags.adapter:
                pass
                self.adapter = Icm.BundleReference(self._io, self, self._root)



        def _fetch_instances(self):
            pass
            self.flags._fetch_instances()
            if self.flags.mask == Icm.MaskKind.derived:
                pass
                self.predictor._fetch_instances()

            if self.flags.adapter:
                pass
                self.adapter._fetch_instances()



    class Chunk(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.Chunk, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.type = (self._io.read_bytes(4)).decode(u"ASCII")
            self.place = Icm.Number(self._io, self, self._root)
            self.length = Icm.Number(self._io, self, self._root)
            _on = self.type
            if _on == u"HEAD":
                pass
                self._raw_payload = self._io.read_bytes(self.length.value)
                _io__raw_payload = KaitaiStream(BytesIO(self._raw_payload))
                self.payload = Icm.Head(_io__raw_payload, self, self._root)
            elif _on == u"HYPR":
                pass
                self._raw_payload = self._io.read_bytes(self.length.value)
                _io__raw_payload = KaitaiStream(BytesIO(self._raw_payload))
                self.payload = Icm.Hyper(_io__raw_payload, self, self._root)
            elif _on == u"IFRM":
                pass
                self._raw_payload = self._io.read_bytes(self.length.value)
                _io__raw_payload = KaitaiStream(BytesIO(self._raw_payload))
                self.payload = Icm.IntraFrame(_io__raw_payload, self, self._root)
            elif _on == u"ILYR":
                pass
                self._raw_payload = self._io.read_bytes(self.length.value)
                _io__raw_payload = KaitaiStream(BytesIO(self._raw_payload))
                self.payload = Icm.LaterLayer(True, _io__raw_payload, self, self._root)
            elif _on == u"INDX":
                pass
                self._raw_payload = self._io.read_bytes(self.length.value)
                _io__raw_payload = KaitaiStream(BytesIO(self._raw_payload))
                self.payload = Icm.Index(_io__raw_payload, self, self._root)
            elif _on == u"LAYR":
                pass
                self._raw_payload = self._io.read_bytes(self.length.value)
                _io__raw_payload = KaitaiStream(BytesIO(self._raw_payload))
                self.payload = Icm.Layer(_io__raw_payload, self, self._root)
            elif _on == u"PFRM":
                pass
                self._raw_payload = self._io.read_bytes(self.length.value)
                _io__raw_payload = KaitaiStream(BytesIO(self._raw_payload))
                self.payload = Icm.InterFrame(_io__raw_payload, self, self._root)
            elif _on == u"PLYR":
                pass
                self._raw_payload = self._io.read_bytes(self.length.value)
                _io__raw_payload = KaitaiStream(BytesIO(self._raw_payload))
                self.payload = Icm.LaterLayer(False, _io__raw_payload, self, self._root)
            elif _on == u"SEQH":
                pass
                self._raw_payload = self._io.read_bytes(self.length.value)
                _io__raw_payload = KaitaiStream(BytesIO(self._raw_payload))
                self.payload = Icm.Sequence(_io__raw_payload, self, self._root)
            elif _on == u"aLPh":
                pass
                self._raw_payload = self._io.read_bytes(self.length.value)
                _io__raw_payload = KaitaiStream(BytesIO(self._raw_payload))
                self.payload = Icm.Alpha(_io__raw_payload, self, self._root)
            elif _on == u"aUDi":
                pass
                self._raw_payload = self._io.read_bytes(self.length.value)
                _io__raw_payload = KaitaiStream(BytesIO(self._raw_payload))
                self.payload = Icm.Audio(_io__raw_payload, self, self._root)
            elif _on == u"eXIf":
                pass
                self._raw_payload = self._io.read_bytes(self.length.value)
                _io__raw_payload = KaitaiStream(BytesIO(self._raw_payload))
                self.payload = Icm.Deflated(_io__raw_payload, self, self._root)
            elif _on == u"iCCp":
                pass
                self._raw_payload = self._io.read_bytes(self.length.value)
                _io__raw_payload = KaitaiStream(BytesIO(self._raw_payload))
                self.payload = Icm.Deflated(_io__raw_payload, self, self._root)
            elif _on == u"tAGs":
                pass
                self._raw_payload = self._io.read_bytes(self.length.value)
                _io__raw_payload = KaitaiStream(BytesIO(self._raw_payload))
                self.payload = Icm.Deflated(_io__raw_payload, self, self._root)
            elif _on == u"xMPp":
                pass
                self._raw_payload = self._io.read_bytes(self.length.value)
                _io__raw_payload = KaitaiStream(BytesIO(self._raw_payload))
                self.payload = Icm.Deflated(_io__raw_payload, self, self._root)
            else:
                pass
                self.payload = self._io.read_bytes(self.length.value)
            self.crc = self._io.read_u4le()


        def _fetch_instances(self):
            pass
            self.place._fetch_instances()
            self.length._fetch_instances()
            _on = self.type
            if _on == u"HEAD":
                pass
                self.payload._fetch_instances()
            elif _on == u"HYPR":
                pass
                self.payload._fetch_instances()
            elif _on == u"IFRM":
                pass
                self.payload._fetch_instances()
            elif _on == u"ILYR":
                pass
                self.payload._fetch_instances()
            elif _on == u"INDX":
                pass
                self.payload._fetch_instances()
            elif _on == u"LAYR":
                pass
                self.payload._fetch_instances()
            elif _on == u"PFRM":
                pass
                self.payload._fetch_instances()
            elif _on == u"PLYR":
                pass
                self.payload._fetch_instances()
            elif _on == u"SEQH":
                pass
                self.payload._fetch_instances()
            elif _on == u"aLPh":
                pass
                self.payload._fetch_instances()
            elif _on == u"aUDi":
                pass
                self.payload._fetch_instances()
            elif _on == u"eXIf":
                pass
                self.payload._fetch_instances()
            elif _on == u"iCCp":
                pass
                self.payload._fetch_instances()
            elif _on == u"tAGs":
                pass
                self.payload._fetch_instances()
            elif _on == u"xMPp":
                pass
                self.payload._fetch_instances()
            else:
                pass


    class CodecName(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.CodecName, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.code = self._io.read_u1()
            if not self.code <= (7 if self._root.has_codes_1_1 else 4):
                raise kaitaistruct.ValidationGreaterThanError((7 if self._root.has_codes_1_1 else 4), self.code, self._io, u"/types/codec_name/seq/0")
            if self.code == 0:
                pass
                self.length = self._io.read_u1()
                if not self.length >= 1:
                    raise kaitaistruct.ValidationLessThanError(1, self.length, self._io, u"/types/codec_name/seq/1")
                if not self.length <= 64:
                    raise kaitaistruct.ValidationGreaterThanError(64, self.length, self._io, u"/types/codec_name/seq/1")

            if self.code == 0:
                pass
                self.name = (self._io.read_bytes(self.length)).decode(u"ASCII")



        def _fetch_instances(self):
            pass
            if self.code == 0:
                pass

            if self.code == 0:
                pass


        @property
        def value(self):
            if hasattr(self, '_m_value'):
                return self._m_value

            self._m_value = (u"mbt2018-mean-gain-0" if self.code == 1 else (u"test-tiny" if self.code == 2 else (u"mbt2018-mean" if self.code == 3 else (u"bmshj2018-hyperprior" if self.code == 4 else (u"mbt2018-mean-gain-1" if self.code == 5 else (u"dvc-1" if self.code == 6 else (u"fvc-1" if self.code == 7 else self.name)))))))
            return getattr(self, '_m_value', None)


    class CodecReference(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.CodecReference, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.id = Icm.CodecName(self._io, self, self._root)
            self.fingerprint = self._io.read_bytes(8)


        def _fetch_instances(self):
            pass
            self.id._fetch_instances()


    class Deflated(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.Deflated, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.compressed = self._io.read_bytes_full()


        def _fetch_instances(self):
            pass
            _ = self.data
            if hasattr(self, '_m_data'):
                pass


        @property
        def data(self):
            if hasattr(self, '_m_data'):
                return self._m_data

            _pos = self._io.pos()
            self._io.seek(0)
            self._raw__m_data = self._io.read_bytes_full()
            self._m_data = zlib.decompress(self._raw__m_data)
            self._io.seek(_pos)
            return getattr(self, '_m_data', None)


    class Flags(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.Flags, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.reserved = self._io.read_bits_int_be(5)
            if not self.reserved == 0:
                raise kaitaistruct.ValidationNotEqualError(0, self.reserved, self._io, u"/types/flags/seq/0")
            self.adapter = self._io.read_bits_int_be(1) != 0
            self.mask = KaitaiStream.resolve_enum(Icm.MaskKind, self._io.read_bits_int_be(2))


        def _fetch_instances(self):
            pass


    class FrameFlags(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.FrameFlags, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.count = self._io.read_bits_int_be(6)
            self.qualities = self._io.read_bits_int_be(1) != 0
            self.timed = self._io.read_bits_int_be(1) != 0


        def _fetch_instances(self):
            pass


    class Group(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.Group, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.codec = Icm.CodecReference(self._io, self, self._root)
            self.quality = self._io.read_u2le()
            self.skip = self._io.read_u1()
            self.hyper_crc = self._io.read_u4le()


        def _fetch_instances(self):
            pass
            self.codec._fetch_instances()


    class Head(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.Head, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.file_id = self._io.read_bytes(8)
            self.width = Icm.Number(self._io, self, self._root)
            self.height = Icm.Number(self._io, self, self._root)
            self.channels = self._io.read_u1()
            self.depth = self._io.read_u1()
            self.tile_columns = Icm.Number(self._io, self, self._root)
            self.tile_rows = Icm.Number(self._io, self, self._root)
            self.ancillary = Icm.Number(self._io, self, self._root)
            self.num_groups = Icm.Number(self._io, self, self._root)
            self.groups = []
            for i in range(self.num_groups.value):
                self.groups.append(Icm.Group(self._io, self, self._root))

            self.num_layers = Icm.Number(self._io, self, self._root)
            self.layers = []
            for i in range(self.num_layers.value):
                self.layers.append(Icm.LayerEntry(self._io, self, self._root))



        def _fetch_instances(self):
            pass
            self.width._fetch_instances()
            self.height._fetch_instances()
            self.tile_columns._fetch_instances()
            self.tile_rows._fetch_instances()
            self.ancillary._fetch_instances()
            self.num_groups._fetch_instances()
            for i in range(len(self.groups)):
                pass
                self.groups[i]._fetch_instances()

            self.num_layers._fetch_instances()
            for i in range(len(self.layers)):
                pass
                self.layers[i]._fetch_instances()


        @property
        def num_tiles(self):
            if hasattr(self, '_m_num_tiles'):
                return self._m_num_tiles

            self._m_num_tiles = self.tile_columns.value * self.tile_rows.value
            return getattr(self, '_m_num_tiles', None)


    class Hyper(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.Hyper, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.group = Icm.Number(self._io, self, self._root)
            self.num_segments = Icm.Number(self._io, self, self._root)
            _ = self.num_segments
            if not _.value > 0:
                raise kaitaistruct.ValidationExprError(self.num_segments, self._io, u"/types/hyper/seq/1")
            self.lengths = []
            for i in range(self.num_segments.value - 1):
                self.lengths.append(Icm.Number(self._io, self, self._root))

            self.segments = []
            for i in range(self.num_segments.value - 1):
                self.segments.append(self._io.read_bytes(self.lengths[i].value))

            self.last_segment = self._io.read_bytes_full()


        def _fetch_instances(self):
            pass
            self.group._fetch_instances()
            self.num_segments._fetch_instances()
            for i in range(len(self.lengths)):
                pass
                self.lengths[i]._fetch_instances()

            for i in range(len(self.segments)):
                pass



    class HyperLatent(KaitaiStruct):
        def __init__(self, latent, _io, _parent=None, _root=None):
            super(Icm.HyperLatent, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self.latent = latent
            self._read()

        def _read(self):
            if self.num_segments > 0:
                pass
                self.len_segments = Icm.Number(self._io, self, self._root)

            if self.num_segments > 0:
                pass
                self._raw_segments = self._io.read_bytes(self.len_segments.value)
                _io__raw_segments = KaitaiStream(BytesIO(self._raw_segments))
                self.segments = Icm.PlainSegments(self.num_segments, _io__raw_segments, self, self._root)



        def _fetch_instances(self):
            pass
            if self.num_segments > 0:
                pass
                self.len_segments._fetch_instances()

            if self.num_segments > 0:
                pass
                self.segments._fetch_instances()


        @property
        def head(self):
            if hasattr(self, '_m_head'):
                return self._m_head

            self._m_head = self._root.header.payload
            return getattr(self, '_m_head', None)

        @property
        def num_segments(self):
            if hasattr(self, '_m_num_segments'):
                return self._m_num_segments

            self._m_num_segments = (self.head.latents[self.latent].hyper_channels.value * self.head.hyper_positions + 65535) // 65536
            return getattr(self, '_m_num_segments', None)


    class Index(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.Index, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.digest = self._io.read_bytes(8)
            self.frames = Icm.Long(self._io, self, self._root)
            self.end = Icm.Signed(self._io, self, self._root)
            self.num_entries = Icm.Number(self._io, self, self._root)
            self.entries = []
            for i in range(self.num_entries.value):
                self.entries.append(Icm.IndexEntry(self._io, self, self._root))

            self.size = self._io.read_u4le()


        def _fetch_instances(self):
            pass
            self.frames._fetch_instances()
            self.end._fetch_instances()
            self.num_entries._fetch_instances()
            for i in range(len(self.entries)):
                pass
                self.entries[i]._fetch_instances()



    class IndexEntry(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.IndexEntry, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.frame = Icm.Long(self._io, self, self._root)
            self.time = Icm.Signed(self._io, self, self._root)
            self.offset = Icm.Long(self._io, self, self._root)


        def _fetch_instances(self):
            pass
            self.frame._fetch_instances()
            self.time._fetch_instances()
            self.offset._fetch_instances()


    class InterFrame(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.InterFrame, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.flags = Icm.FrameFlags(self._io, self, self._root)
            if self.flags.timed:
                pass
                self.time = Icm.Number(self._io, self, self._root)

            if self.flags.qualities:
                pass
                self.qualities = []
                for i in range(2):
                    self.qualities.append(self._io.read_u2le())


            self.crc = self._io.read_u4le()
            self.hyper_latents = []
            for i in range(2):
                self.hyper_latents.append(Icm.HyperLatent(i + 1, self._io, self, self._root))

            self.layer = Icm.LayerData(0, False, self._io, self, self._root)


        def _fetch_instances(self):
            pass
            self.flags._fetch_instances()
            if self.flags.timed:
                pass
                self.time._fetch_instances()

            if self.flags.qualities:
                pass
                for i in range(len(self.qualities)):
                    pass


            for i in range(len(self.hyper_latents)):
                pass
                self.hyper_latents[i]._fetch_instances()

            self.layer._fetch_instances()


    class IntraFrame(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.IntraFrame, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.flags = Icm.FrameFlags(self._io, self, self._root)
            self.frame = Icm.Long(self._io, self, self._root)
            self.time = Icm.Signed(self._io, self, self._root)
            if self.flags.qualities:
                pass
                self.qualities = []
                for i in range(1):
                    self.qualities.append(self._io.read_u2le())


            self.crc = self._io.read_u4le()
            self.hyper_latents = []
            for i in range(1):
                self.hyper_latents.append(Icm.HyperLatent(i, self._io, self, self._root))

            self.layer = Icm.LayerData(0, True, self._io, self, self._root)


        def _fetch_instances(self):
            pass
            self.flags._fetch_instances()
            self.frame._fetch_instances()
            self.time._fetch_instances()
            if self.flags.qualities:
                pass
                for i in range(len(self.qualities)):
                    pass


            for i in range(len(self.hyper_latents)):
                pass
                self.hyper_latents[i]._fetch_instances()

            self.layer._fetch_instances()


    class Latent(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.Latent, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.channels = Icm.Number(self._io, self, self._root)
            self.hyper_channels = Icm.Number(self._io, self, self._root)
            self.quality = self._io.read_u2le()
            self.skip = self._io.read_u1()


        def _fetch_instances(self):
            pass
            self.channels._fetch_instances()
            self.hyper_channels._fetch_instances()


    class LatentData(KaitaiStruct):
        def __init__(self, layer, latent, _io, _parent=None, _root=None):
            super(Icm.LatentData, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self.layer = layer
            self.latent = latent
            self._read()

        def _read(self):
            if self.mask_kind == Icm.MaskKind.explicit:
                pass
                self.mask_length = Icm.Number(self._io, self, self._root)

            if self.mask_kind == Icm.MaskKind.explicit:
                pass
                self.mask = self._io.read_bytes(self.mask_length.value)

            if self.is_counted:
                pass
                self.num_segments = Icm.Number(self._io, self, self._root)

            self.segments = Icm.PlainSegments((self.num_segments.value if self.is_counted else (0 if self._io.is_eof() else 1)), self._io, self, self._root)


        def _fetch_instances(self):
            pass
            if self.mask_kind == Icm.MaskKind.explicit:
                pass
                self.mask_length._fetch_instances()

            if self.mask_kind == Icm.MaskKind.explicit:
                pass

            if self.is_counted:
                pass
                self.num_segments._fetch_instances()

            self.segments._fetch_instances()

        @property
        def head(self):
            if hasattr(self, '_m_head'):
                return self._m_head

            self._m_head = self._root.header.payload
            return getattr(self, '_m_head', None)

        @property
        def is_counted(self):
            if hasattr(self, '_m_is_counted'):
                return self._m_is_counted

            self._m_is_counted =  ((self.mask_kind != Icm.MaskKind.empty) and (self.head.latents[self.latent].channels.value * self.head.positions > 65536)) 
            return getattr(self, '_m_is_counted', None)

        @property
        def mask_kind(self):
            if hasattr(self, '_m_mask_kind'):
                return self._m_mask_kind

            self._m_mask_kind = self.head.layers[self.layer].choices[self.latent].flags.mask
            return getattr(self, '_m_mask_kind', None)


    class LaterLayer(KaitaiStruct):
        def __init__(self, is_intra, _io, _parent=None, _root=None):
            super(Icm.LaterLayer, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self.is_intra = is_intra
            self._read()

        def _read(self):
            self.layer = Icm.Number(self._io, self, self._root)
            self.crc = self._io.read_u4le()
            self.data = Icm.LayerData(self.layer.value, self.is_intra, self._io, self, self._root)


        def _fetch_instances(self):
            pass
            self.layer._fetch_instances()
            self.data._fetch_instances()


    class Layer(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.Layer, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.layer = Icm.Number(self._io, self, self._root)
            if  ((self.is_tiled) and (self.entry.symbols.value > 0)) :
                pass
                self.tile_table = []
                for i in range(self.head.num_tiles):
                    self.tile_table.append(Icm.TileEntry(self._io, self, self._root))


            if  ((self.is_tiled) and (self.entry.symbols.value > 0)) :
                pass
                self._raw_tiles = []
                self.tiles = []
                for i in range(self.head.num_tiles):
                    self._raw_tiles.append(self._io.read_bytes(self.tile_table[i].length.value))
                    _io__raw_tiles = KaitaiStream(BytesIO(self._raw_tiles[i]))
                    self.tiles.append(Icm.Tile(self.tile_table[i].symbols.value,  ((self.is_explicit) and (self.tile_table[i].symbols.value > 0)) , _io__raw_tiles, self, self._root))


            if (not (self.is_tiled)):
                pass
                self._raw_untiled = self._io.read_bytes_full()
                _io__raw_untiled = KaitaiStream(BytesIO(self._raw_untiled))
                self.untiled = Icm.Tile(self.entry.symbols.value, self.is_explicit, _io__raw_untiled, self, self._root)



        def _fetch_instances(self):
            pass
            self.layer._fetch_instances()
            if  ((self.is_tiled) and (self.entry.symbols.value > 0)) :
                pass
                for i in range(len(self.tile_table)):
                    pass
                    self.tile_table[i]._fetch_instances()


            if  ((self.is_tiled) and (self.entry.symbols.value > 0)) :
                pass
                for i in range(len(self.tiles)):
                    pass
                    self.tiles[i]._fetch_instances()


            if (not (self.is_tiled)):
                pass
                self.untiled._fetch_instances()


        @property
        def entry(self):
            if hasattr(self, '_m_entry'):
                return self._m_entry

            self._m_entry = self.head.layers[self.layer.value]
            return getattr(self, '_m_entry', None)

        @property
        def head(self):
            if hasattr(self, '_m_head'):
                return self._m_head

            self._m_head = self._root.header.payload
            return getattr(self, '_m_head', None)

        @property
        def is_explicit(self):
            if hasattr(self, '_m_is_explicit'):
                return self._m_is_explicit

            self._m_is_explicit = self.entry.flags.mask == Icm.MaskKind.explicit
            return getattr(self, '_m_is_explicit', None)

        @property
        def is_tiled(self):
            if hasattr(self, '_m_is_tiled'):
                return self._m_is_tiled

            self._m_is_tiled = self.head.num_tiles > 1
            return getattr(self, '_m_is_tiled', None)


    class LayerData(KaitaiStruct):
        def __init__(self, layer, is_intra, _io, _parent=None, _root=None):
            super(Icm.LayerData, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self.layer = layer
            self.is_intra = is_intra
            self._read()

        def _read(self):
            if (not (self.is_intra)):
                pass
                self.len_motion = Icm.Number(self._io, self, self._root)

            if (not (self.is_intra)):
                pass
                self._raw_motion = self._io.read_bytes(self.len_motion.value)
                _io__raw_motion = KaitaiStream(BytesIO(self._raw_motion))
                self.motion = Icm.LatentData(self.layer, 1, _io__raw_motion, self, self._root)

            self._raw_last = self._io.read_bytes_full()
            _io__raw_last = KaitaiStream(BytesIO(self._raw_last))
            self.last = Icm.LatentData(self.layer, (0 if self.is_intra else 2), _io__raw_last, self, self._root)


        def _fetch_instances(self):
            pass
            if (not (self.is_intra)):
                pass
                self.len_motion._fetch_instances()

            if (not (self.is_intra)):
                pass
                self.motion._fetch_instances()

            self.last._fetch_instances()


    class LayerEntry(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.LayerEntry, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.group = Icm.Number(self._io, self, self._root)
            self.task = Icm.TaskName(self._io, self, self._root)
            self.level = self._io.read_u1()
            self.flags = Icm.Flags(self._io, self, self._root)
            if  ((self.flags.mask == Icm.MaskKind.derived) or (self.flags.mask == Icm.MaskKind.explicit)) :
                pass
                self.mask_crc = self._io.read_u4le()

            self.symbols = Icm.Number(self._io, self, self._root)
            self.symbols_crc = self._io.read_u4le()
            if self.flags.mask == Icm.MaskKind.derived:
                pass
                self.predictor = Icm.BundleReference(self._io, self, self._root)

            if self.flags.adapter:
                pass
                self.adapter = Icm.BundleReference(self._io, self, self._root)



        def _fetch_instances(self):
            pass
            self.group._fetch_instances()
            self.task._fetch_instances()
            self.flags._fetch_instances()
            if  ((self.flags.mask == Icm.MaskKind.derived) or (self.flags.mask == Icm.MaskKind.explicit)) :
                pass

            self.symbols._fetch_instances()
            if self.flags.mask == Icm.MaskKind.derived:
                pass
                self.predictor._fetch_instances()

            if self.flags.adapter:
                pass
                self.adapter._fetch_instances()



    class Long(KaitaiStruct):
        """An unsigned LEB128 varint below 2^63 in its shortest form."""
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.Long, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.bytes = []
            i = 0
            while True:
                _ = self._io.read_u1()
                self.bytes.append(_)
                _ = self.bytes[i]
                if not  ((i == 0) or ( ((_ != 0) and (i < 9)) )) :
                    raise kaitaistruct.ValidationExprError(self.bytes[i], self._io, u"/types/long/seq/0")
                if _ < 128:
                    break
                i += 1


        def _fetch_instances(self):
            pass
            for i in range(len(self.bytes)):
                pass


        @property
        def value(self):
            if hasattr(self, '_m_value'):
                return self._m_value

            self._m_value = (((((((((self.bytes[0] & 127) + ((self.bytes[1] & 127) * 128 if len(self.bytes) > 1 else 0)) + ((self.bytes[2] & 127) * 16384 if len(self.bytes) > 2 else 0)) + ((self.bytes[3] & 127) * 2097152 if len(self.bytes) > 3 else 0)) + ((self.bytes[4] & 127) * 268435456 if len(self.bytes) > 4 else 0)) + ((self.bytes[5] & 127) * 34359738368 if len(self.bytes) > 5 else 0)) + ((self.bytes[6] & 127) * 4398046511104 if len(self.bytes) > 6 else 0)) + ((self.bytes[7] & 127) * 562949953421312 if len(self.bytes) > 7 else 0)) + ((self.bytes[8] & 127) * 72057594037927936 if len(self.bytes) > 8 else 0))
            return getattr(self, '_m_value', None)


    class Number(KaitaiStruct):
        """An unsigned LEB128 varint below 2^32 in its shortest form."""
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.Number, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.bytes = []
            i = 0
            while True:
                _ = self._io.read_u1()
                self.bytes.append(_)
                _ = self.bytes[i]
                if not  ((i == 0) or ( ((_ != 0) and ( ((i < 4) or (_ < 16)) )) )) :
                    raise kaitaistruct.ValidationExprError(self.bytes[i], self._io, u"/types/number/seq/0")
                if _ < 128:
                    break
                i += 1


        def _fetch_instances(self):
            pass
            for i in range(len(self.bytes)):
                pass


        @property
        def value(self):
            if hasattr(self, '_m_value'):
                return self._m_value

            self._m_value = (((((self.bytes[0] & 127) + ((self.bytes[1] & 127) * 128 if len(self.bytes) > 1 else 0)) + ((self.bytes[2] & 127) * 16384 if len(self.bytes) > 2 else 0)) + ((self.bytes[3] & 127) * 2097152 if len(self.bytes) > 3 else 0)) + (self.bytes[4] * 268435456 if len(self.bytes) > 4 else 0))
            return getattr(self, '_m_value', None)


    class PlainSegments(KaitaiStruct):
        def __init__(self, count, _io, _parent=None, _root=None):
            super(Icm.PlainSegments, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self.count = count
            self._read()

        def _read(self):
            if self.count > 0:
                pass
                self.lengths = []
                for i in range(self.count - 1):
                    self.lengths.append(Icm.Number(self._io, self, self._root))


            if self.count > 0:
                pass
                self.segments = []
                for i in range(self.count - 1):
                    self.segments.append(self._io.read_bytes(self.lengths[i].value))


            if self.count > 0:
                pass
                self.last_segment = self._io.read_bytes_full()



        def _fetch_instances(self):
            pass
            if self.count > 0:
                pass
                for i in range(len(self.lengths)):
                    pass
                    self.lengths[i]._fetch_instances()


            if self.count > 0:
                pass
                for i in range(len(self.segments)):
                    pass


            if self.count > 0:
                pass



    class Ratio(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.Ratio, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.numerator = Icm.Number(self._io, self, self._root)
            self.denominator = Icm.Number(self._io, self, self._root)
            _ = self.denominator
            if not _.value > 0:
                raise kaitaistruct.ValidationExprError(self.denominator, self._io, u"/types/ratio/seq/1")


        def _fetch_instances(self):
            pass
            self.numerator._fetch_instances()
            self.denominator._fetch_instances()


    class Sequence(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.Sequence, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.sequence_id = self._io.read_bytes(8)
            self.width = Icm.Number(self._io, self, self._root)
            self.height = Icm.Number(self._io, self, self._root)
            self.channels = self._io.read_u1()
            self.depth = self._io.read_u1()
            self.turns = self._io.read_u1()
            self.aspect = Icm.Ratio(self._io, self, self._root)
            self.primaries = self._io.read_u1()
            self.transfer = self._io.read_u1()
            self.matrix = self._io.read_u1()
            self.range = self._io.read_u1()
            if not self.range <= 1:
                raise kaitaistruct.ValidationGreaterThanError(1, self.range, self._io, u"/types/sequence/seq/10")
            self.time_base = Icm.Ratio(self._io, self, self._root)
            self.rate = Icm.Ratio(self._io, self, self._root)
            self.step = Icm.Number(self._io, self, self._root)
            self.gop = Icm.Number(self._io, self, self._root)
            self.num_audio = Icm.Number(self._io, self, self._root)
            self.audio = []
            for i in range(self.num_audio.value):
                self.audio.append(Icm.AudioStream(self._io, self, self._root))

            self.num_latents = Icm.Number(self._io, self, self._root)
            self.latents = []
            for i in range(self.num_latents.value):
                self.latents.append(Icm.Latent(self._io, self, self._root))

            self.intra = Icm.CodecReference(self._io, self, self._root)
            if self.num_latents.value > 1:
                pass
                self.inter = Icm.CodecReference(self._io, self, self._root)

            self.num_layers = Icm.Number(self._io, self, self._root)
            self.layers = []
            for i in range(self.num_layers.value):
                self.layers.append(Icm.SequenceLayer(self.num_latents.value, self._io, self, self._root))



        def _fetch_instances(self):
            pass
            self.width._fetch_instances()
            self.height._fetch_instances()
            self.aspect._fetch_instances()
            self.time_base._fetch_instances()
            self.rate._fetch_instances()
            self.step._fetch_instances()
            self.gop._fetch_instances()
            self.num_audio._fetch_instances()
            for i in range(len(self.audio)):
                pass
                self.audio[i]._fetch_instances()

            self.num_latents._fetch_instances()
            for i in range(len(self.latents)):
                pass
                self.latents[i]._fetch_instances()

            self.intra._fetch_instances()
            if self.num_latents.value > 1:
                pass
                self.inter._fetch_instances()

            self.num_layers._fetch_instances()
            for i in range(len(self.layers)):
                pass
                self.layers[i]._fetch_instances()


        @property
        def hyper_positions(self):
            if hasattr(self, '_m_hyper_positions'):
                return self._m_hyper_positions

            self._m_hyper_positions = ((self.width.value + 63) // 64) * ((self.height.value + 63) // 64)
            return getattr(self, '_m_hyper_positions', None)

        @property
        def positions(self):
            if hasattr(self, '_m_positions'):
                return self._m_positions

            self._m_positions = ((self.width.value + 15) // 16) * ((self.height.value + 15) // 16)
            return getattr(self, '_m_positions', None)


    class SequenceLayer(KaitaiStruct):
        def __init__(self, num_latents, _io, _parent=None, _root=None):
            super(Icm.SequenceLayer, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self.num_latents = num_latents
            self._read()

        def _read(self):
            self.task = Icm.TaskName(self._io, self, self._root)
            self.choices = []
            for i in range(self.num_latents):
                self.choices.append(Icm.Choice(self._io, self, self._root))



        def _fetch_instances(self):
            pass
            self.task._fetch_instances()
            for i in range(len(self.choices)):
                pass
                self.choices[i]._fetch_instances()



    class Signed(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.Signed, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.zigzag = Icm.Long(self._io, self, self._root)


        def _fetch_instances(self):
            pass
            self.zigzag._fetch_instances()

        @property
        def value(self):
            if hasattr(self, '_m_value'):
                return self._m_value

            self._m_value = (self.zigzag.value // 2 if self.zigzag.value % 2 == 0 else -(self.zigzag.value // 2) - 1)
            return getattr(self, '_m_value', None)


    class TaskName(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.TaskName, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.code = self._io.read_u1()
            if not self.code <= 4:
                raise kaitaistruct.ValidationGreaterThanError(4, self.code, self._io, u"/types/task_name/seq/0")
            if self.code == 0:
                pass
                self.length = self._io.read_u1()
                if not self.length >= 1:
                    raise kaitaistruct.ValidationLessThanError(1, self.length, self._io, u"/types/task_name/seq/1")
                if not self.length <= 64:
                    raise kaitaistruct.ValidationGreaterThanError(64, self.length, self._io, u"/types/task_name/seq/1")

            if self.code == 0:
                pass
                self.name = (self._io.read_bytes(self.length)).decode(u"ASCII")



        def _fetch_instances(self):
            pass
            if self.code == 0:
                pass

            if self.code == 0:
                pass


        @property
        def value(self):
            if hasattr(self, '_m_value'):
                return self._m_value

            self._m_value = (u"human" if self.code == 1 else (u"cls" if self.code == 2 else (u"det" if self.code == 3 else (u"seg" if self.code == 4 else self.name))))
            return getattr(self, '_m_value', None)


    class Text(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.Text, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.length = self._io.read_u1()
            if not self.length >= 1:
                raise kaitaistruct.ValidationLessThanError(1, self.length, self._io, u"/types/text/seq/0")
            if not self.length <= 64:
                raise kaitaistruct.ValidationGreaterThanError(64, self.length, self._io, u"/types/text/seq/0")
            self.value = (self._io.read_bytes(self.length)).decode(u"ASCII")


        def _fetch_instances(self):
            pass


    class Tile(KaitaiStruct):
        def __init__(self, symbols, has_mask, _io, _parent=None, _root=None):
            super(Icm.Tile, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self.symbols = symbols
            self.has_mask = has_mask
            self._read()

        def _read(self):
            if self.has_mask:
                pass
                self.mask_length = Icm.Number(self._io, self, self._root)

            if self.has_mask:
                pass
                self.mask = self._io.read_bytes(self.mask_length.value)

            if self.num_segments > 0:
                pass
                self.lengths = []
                for i in range(self.num_segments - 1):
                    self.lengths.append(Icm.Number(self._io, self, self._root))


            if self.num_segments > 0:
                pass
                self.segments = []
                for i in range(self.num_segments - 1):
                    self.segments.append(self._io.read_bytes(self.lengths[i].value))


            if self.num_segments > 0:
                pass
                self.last_segment = self._io.read_bytes_full()



        def _fetch_instances(self):
            pass
            if self.has_mask:
                pass
                self.mask_length._fetch_instances()

            if self.has_mask:
                pass

            if self.num_segments > 0:
                pass
                for i in range(len(self.lengths)):
                    pass
                    self.lengths[i]._fetch_instances()


            if self.num_segments > 0:
                pass
                for i in range(len(self.segments)):
                    pass


            if self.num_segments > 0:
                pass


        @property
        def num_segments(self):
            if hasattr(self, '_m_num_segments'):
                return self._m_num_segments

            self._m_num_segments = (self.symbols + 65535) // 65536
            return getattr(self, '_m_num_segments', None)


    class TileEntry(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Icm.TileEntry, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.symbols = Icm.Number(self._io, self, self._root)
            self.length = Icm.Number(self._io, self, self._root)
            self.crc = self._io.read_u4le()


        def _fetch_instances(self):
            pass
            self.symbols._fetch_instances()
            self.length._fetch_instances()


    @property
    def has_codes_1_1(self):
        """Whether names have the codes that came with version 1.1."""
        if hasattr(self, '_m_has_codes_1_1'):
            return self._m_has_codes_1_1

        self._m_has_codes_1_1 =  ((self.major == 1) and (self.minor >= 1)) 
        return getattr(self, '_m_has_codes_1_1', None)
