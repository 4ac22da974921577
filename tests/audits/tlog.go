// What others make of the bank's proofs: Go's own packages of the checksum database (golang.org/x/mod/sumdb/note and
// .../tlog), from which C2SP's signed notes and tiles were specified. It reads a question a line, in JSON, and answers each
// with a line; tests/application/proof/test_against_go.py asks.
//
// Of C2SP it has to know by itself what Go's packages have not: cosignatures, the form of a tlog-proof and of what a witness
// is sent, and that a path of a tile does not say the height, which is 8.
package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	height       = 8
	cosignature  = 4
	goTree       = "go.sum database tree\n"
	proofVersion = "c2sp.org/tlog-proof@v1"
)

type question struct {
	Op      string
	Note    []byte
	Text    string
	Name    string
	Keys    []string
	Time    uint64
	Number  int64
	Leaves  []tlog.Hash
	Size    int64
	Of      int64
	Root    tlog.Hash
	OfRoot  tlog.Hash
	Proof   []tlog.Hash
	Path    string
	Folder  string
	Content string
}

type answer map[string]any

// The tree over the leaves that were told last.
var stored []tlog.Hash

var storage = tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for n, index := range indexes {
		if index >= int64(len(stored)) {
			return nil, fmt.Errorf("no hash %d", index)
		}
		found[n] = stored[index]
	}
	return found, nil
})

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<28)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked question
		said, err := answer{}, json.Unmarshal(lines.Bytes(), &asked)
		if err == nil {
			said, err = answered(asked)
		}
		if err != nil {
			said = answer{"error": err.Error()}
		}
		if err := out.Encode(said); err != nil {
			panic(err)
		}
	}
}

func answered(asked question) (answer, error) {
	switch asked.Op {
	case "open":
		opened, err := open(asked.Note, asked.Keys)
		if err != nil {
			return nil, err
		}
		by := []string{}
		for _, signature := range opened.Sigs {
			by = append(by, signature.Name)
		}
		return answer{"text": opened.Text, "by": by, "others": len(opened.UnverifiedSigs)}, nil
	case "sign":
		return sign(asked)
	case "leaves":
		stored = nil
		return answer{}, grow(asked.Leaves)
	case "count": // leaves of the numbers from 0 on, in decimal
		stored = nil
		leaves := make([]tlog.Hash, asked.Number)
		for n := range leaves {
			leaves[n] = tlog.RecordHash([]byte(strconv.Itoa(n)))
		}
		return answer{}, grow(leaves)
	case "root":
		root, err := tlog.TreeHash(asked.Size, storage)
		return answer{"root": root}, err
	case "checkpoint":
		root, err := tlog.TreeHash(asked.Size, storage)
		return answer{"text": string(tlog.FormatTree(tlog.Tree{N: asked.Size, Hash: root}))}, err
	case "inclusion":
		path, err := tlog.ProveRecord(asked.Size, asked.Of, storage)
		return answer{"path": path}, err
	case "consistency":
		path, err := tlog.ProveTree(asked.Size, asked.Of, storage)
		return answer{"path": path}, err
	case "check inclusion":
		return answer{}, tlog.CheckRecord(asked.Proof, asked.Size, asked.Root, asked.Of, asked.OfRoot)
	case "check consistency":
		return answer{}, tlog.CheckTree(asked.Proof, asked.Size, asked.Root, asked.Of, asked.OfRoot)
	case "tile":
		hashes, err := tileOf(asked.Path, storage)
		return answer{"hashes": hashes}, err
	case "proof":
		return proven(asked.Content, asked.Keys)
	case "export":
		return export(asked.Folder, asked.Keys)
	}
	return nil, fmt.Errorf("there is no %q", asked.Op)
}

func grow(leaves []tlog.Hash) error {
	for n, leaf := range leaves {
		more, err := tlog.StoredHashesForRecordHash(int64(n), leaf, storage)
		if err != nil {
			return err
		}
		stored = append(stored, more...)
	}
	return nil
}

// --- notes ------------------------------------------------------------------------------------------------------------

func open(signed []byte, keys []string) (*note.Note, error) {
	var known []note.Verifier
	for _, key := range keys {
		verifier, err := note.NewVerifier(key)
		if err != nil {
			verifier, err = newWitness(key)
		}
		if err != nil {
			return nil, err
		}
		known = append(known, verifier)
	}
	return note.Open(signed, note.VerifierList(known...))
}

// A witness signs "cosignature/v1", the time and the note's text (c2sp.org/tlog-cosignature).
type witness struct {
	name    string
	hash    uint32
	public  ed25519.PublicKey
	private ed25519.PrivateKey
	time    uint64
}

func (w witness) Name() string    { return w.name }
func (w witness) KeyHash() uint32 { return w.hash }

func (w witness) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	return ed25519.Verify(w.public, cosigned(binary.BigEndian.Uint64(signature), text), signature[8:])
}

func (w witness) Sign(text []byte) ([]byte, error) {
	signature := binary.BigEndian.AppendUint64(nil, w.time)
	return append(signature, ed25519.Sign(w.private, cosigned(w.time, text))...), nil
}

func cosigned(time uint64, text []byte) []byte {
	return append([]byte(fmt.Sprintf("cosignature/v1\ntime %d\n", time)), text...)
}

func witnessHash(name string, public ed25519.PublicKey) uint32 {
	sum := sha256.Sum256(append([]byte(name+"\n\x04"), public...))
	return binary.BigEndian.Uint32(sum[:])
}

func newWitness(key string) (note.Verifier, error) {
	parts := strings.SplitN(key, "+", 3)
	if len(parts) != 3 {
		return nil, errors.New("no verifier")
	}
	public, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(public) != 1+ed25519.PublicKeySize || public[0] != cosignature {
		return nil, errors.New("no witness")
	}
	w := witness{name: parts[0], public: public[1:], hash: witnessHash(parts[0], public[1:])}
	if parts[1] != fmt.Sprintf("%08x", w.hash) {
		return nil, errors.New("another key id")
	}
	return w, nil
}

// Those that sign here, by name: the private and the public key, as Go writes them.
var own = map[string][2]string{}

// A note under the key of this name, and under a new one of a witness if there is a time.
func sign(asked question) (answer, error) {
	if _, made := own[asked.Name]; !made {
		private, key, err := note.GenerateKey(rand.Reader, asked.Name)
		if err != nil {
			return nil, err
		}
		own[asked.Name] = [2]string{private, key}
	}
	signer, err := note.NewSigner(own[asked.Name][0])
	if err != nil {
		return nil, err
	}
	signers, keys := []note.Signer{signer}, []string{own[asked.Name][1]}
	if asked.Time > 0 {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		w := witness{"witness." + asked.Name, 0, public, private, asked.Time}
		w.hash = witnessHash(w.name, public)
		encoded := base64.StdEncoding.EncodeToString(append([]byte{cosignature}, public...))
		signers, keys = append(signers, w), append(keys, fmt.Sprintf("%s+%08x+%s", w.name, w.hash, encoded))
	}
	signed, err := note.Sign(&note.Note{Text: asked.Text}, signers...)
	return answer{"note": signed, "keys": keys}, err
}

// A checkpoint is what Go calls a tree, with another first line: the origin, which is the name of the first key.
func checkpoint(signed []byte, keys []string) (tlog.Tree, error) {
	opened, err := open(signed, keys)
	if err != nil {
		return tlog.Tree{}, err
	}
	for n, key := range keys {
		name, signatures := strings.SplitN(key, "+", 2)[0], 0
		for _, signature := range opened.Sigs {
			if signature.Name == name {
				signatures++
			}
		}
		if signatures != 1 || n == 0 && !strings.HasPrefix(opened.Text, name+"\n") {
			return tlog.Tree{}, fmt.Errorf("it is not by %s", name)
		}
	}
	_, rest, _ := strings.Cut(opened.Text, "\n")
	return tlog.ParseTree([]byte(goTree + rest))
}

// --- proofs -----------------------------------------------------------------------------------------------------------

func proven(content string, keys []string) (answer, error) {
	head, signed, found := strings.Cut(content, "\n\n")
	lines := strings.Split(head, "\n")
	if !found || len(lines) < 3 || lines[0] != proofVersion || !strings.HasPrefix(lines[1], "extra ") {
		return nil, errors.New("no tlog-proof")
	}
	extra, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil {
		return nil, err
	}
	var told struct {
		Leaf   string
		Record *record
	}
	if err := json.Unmarshal(extra, &told); err != nil {
		return nil, err
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	if err != nil {
		return nil, err
	}
	var path tlog.RecordProof
	for _, line := range lines[3:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return nil, err
		}
		path = append(path, hash)
	}
	tree, err := checkpoint([]byte(signed), keys)
	if err != nil {
		return nil, err
	}
	var leaf tlog.Hash
	if told.Record != nil {
		leaf, err = told.Record.hash()
	} else {
		_, err = hex.Decode(leaf[:], []byte(told.Leaf))
	}
	if err != nil {
		return nil, err
	}
	return answer{"index": index, "size": tree.N}, tlog.CheckRecord(path, tree.N, tree.Hash, index, leaf)
}

// --- exports ----------------------------------------------------------------------------------------------------------

type record struct {
	Stream  string
	Version uint64
	Topic   string
	State   string
}

// SHA-256(0x00 || stream || version || length of the topic || topic || state): a leaf, and a link.
func (r *record) hash() (tlog.Hash, error) {
	stream, err := hex.DecodeString(strings.ReplaceAll(r.Stream, "-", ""))
	if err != nil {
		return tlog.Hash{}, err
	}
	said := binary.BigEndian.AppendUint64(stream, r.Version)
	said = binary.BigEndian.AppendUint16(said, uint16(len(r.Topic)))
	return tlog.RecordHash(append(append(said, r.Topic...), r.State...)), nil
}

type folder string

func (f folder) Height() int                     { return height }
func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var read [][]byte
	for _, tile := range tiles {
		path := filepath.Join(string(f), pathOf(tile))
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			whole, _, _ := strings.Cut(path, ".p/")
			content, err = os.ReadFile(whole)
		}
		if err != nil {
			return nil, err
		}
		if len(content) < tile.W*tlog.HashSize {
			return nil, errors.New("a tile is cut short")
		}
		read = append(read, content[:tile.W*tlog.HashSize])
	}
	return read, nil
}

func pathOf(tile tlog.Tile) string {
	return strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
}

func tileOf(path string, reader tlog.HashReader) ([]byte, error) {
	tile, err := tlog.ParseTilePath(strings.Replace(path, "tile/", "tile/8/", 1))
	if err != nil {
		return nil, err
	}
	return tlog.ReadTileData(tile, reader)
}

// Everything of an export: signatures, tiles against the root, records against leaves and each other, and each tile against
// the records.
func export(path string, keys []string) (answer, error) {
	signed, err := os.ReadFile(filepath.Join(path, "checkpoint"))
	if err != nil {
		return nil, err
	}
	tree, err := checkpoint(signed, keys)
	if err != nil {
		return nil, err
	}
	hashes, err := records(path)
	if err != nil {
		return nil, err
	}
	if int64(len(hashes)) != tree.N {
		return nil, fmt.Errorf("%d records, and %d were signed", len(hashes), tree.N)
	}
	authentic := tlog.TileHashReader(tree, folder(path))
	for n, hash := range hashes {
		leaf, err := authentic.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(n))})
		if err != nil {
			return nil, err
		}
		if leaf[0] != hash {
			return nil, fmt.Errorf("record %d is not the leaf", n)
		}
	}
	stored = nil
	if err := grow(hashes); err != nil {
		return nil, err
	}
	tiles, err := sameTiles(path)
	return answer{"records": len(hashes), "root": tree.Hash, "tiles": tiles}, err
}

func records(path string) ([]tlog.Hash, error) {
	type tip struct {
		version uint64
		hash    tlog.Hash
	}
	tips := map[string]tip{}
	var hashes []tlog.Hash
	bundles, err := filepath.Glob(filepath.Join(path, "records", "*.jsonl.gz"))
	if err != nil {
		return nil, err
	}
	for _, bundle := range bundles { // sorted by name
		content, err := os.ReadFile(bundle)
		if err != nil {
			return nil, err
		}
		unpacked, err := gzip.NewReader(bytes.NewReader(content))
		if err != nil {
			return nil, err
		}
		decoder := json.NewDecoder(unpacked)
		for decoder.More() {
			var r record
			if err := decoder.Decode(&r); err != nil {
				return nil, err
			}
			hash, err := r.hash()
			if err != nil {
				return nil, err
			}
			before := tips[r.Stream]
			follows := fmt.Sprintf(`,"prev":"%x"}`, before.hash[:])
			if r.Version != before.version+1 || !strings.HasSuffix(r.State, follows) {
				return nil, fmt.Errorf("record %d does not follow the one before", len(hashes))
			}
			tips[r.Stream] = tip{r.Version, hash}
			hashes = append(hashes, hash)
		}
	}
	return hashes, nil
}

func sameTiles(path string) (int, error) {
	tiles := 0
	err := filepath.WalkDir(filepath.Join(path, "tile"), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(path, name)
		if err != nil {
			return err
		}
		own, err := tileOf(filepath.ToSlash(relative), storage)
		if err == nil && !bytes.Equal(own, content) {
			err = fmt.Errorf("%s is another one", relative)
		}
		tiles++
		return err
	})
	return tiles, err
}
