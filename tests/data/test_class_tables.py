"""Tests of class files with columns: values, colours and names, never a header as a name."""

from __future__ import annotations

import pytest
from made_folder import made

from ovss.data.class_file import read_class_file
from ovss.data.folder import describe_folder
from ovss.data.image_mask import ImageMaskDataset
from ovss.vocabularies import load_names

OBJECT_INFO = (
    "Idx\tRatio\tTrain\tVal\tStuff\tName\n"
    "1\t0.1576\t11664\t1172\t1\twall\n"
    "2\t0.1072\t6046\t612\t1\tbuilding, edifice\n"
    "3\t0.0878\t8265\t796\t1\tsky\n"
)
CVAT = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:128,64,128::\ncar:0,0,142::\n"
LABELS = (
    "name,id,category,ignoreInEval,color\n"
    'unlabeled,0,void,True,"0,0,0"\n'
    'road,7,flat,False,"128,64,128"\n'
    'car,26,vehicle,False,"0,0,142"\n'
    'license plate,-1,vehicle,True,"0,0,142"\n'
)


def read(tmp_path, text, name="classes.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_class_file(path)


@pytest.mark.parametrize(
    ("text", "names", "raw", "colors"),
    [
        ("id,name\n7,road\n26,car", ("road", "car"), (7, 26), None),
        ("name;id\nroad;7\ncar;26\n", ("road", "car"), (7, 26), None),
        ("Label ID\tClass Name\n0\troad\n1\tcar", ("road", "car"), (0, 1), None),
        ("Pixel Value, Class\n0, background\n1, car\n", ("background", "car"), (0, 1), None),
        ("label,name\n3,road\n1,car", ("car", "road"), (1, 3), None),
        ('id,name\n0,"sofa, couch"\n1,cat', ("sofa, couch", "cat"), (0, 1), None),
        (
            "name,r,g,b\nroad,128,64,128\ncar,0,0,142\n",
            ("road", "car"),
            (0, 1),
            ((128, 64, 128), (0, 0, 142)),
        ),
        (
            "\ufeff# colours\nid;name;color\n1;road;#804080\n2;car;0 0 142",
            ("road", "car"),
            (1, 2),
            ((128, 64, 128), (0, 0, 142)),
        ),
        (OBJECT_INFO, ("wall", "building, edifice", "sky"), (1, 2, 3), None),
        (OBJECT_INFO.replace("\t", "  "), ("wall", "building, edifice", "sky"), (1, 2, 3), None),
        (
            OBJECT_INFO.replace(", ", ";").replace("\t", ","),
            ("wall", "building,edifice", "sky"),
            (1, 2, 3),
            None,
        ),
        (
            CVAT,
            ("background", "road", "car"),
            (0, 1, 2),
            ((0, 0, 0), (128, 64, 128), (0, 0, 142)),
        ),
        (
            "name,trainId\nego vehicle,255\nroad,0\ncar,13\nlicense plate,-1\n",
            ("road", "car"),
            (0, 13),
            None,
        ),
        (LABELS, ("road", "car"), (7, 26), ((128, 64, 128), (0, 0, 142))),
    ],
)
def test_layouts(tmp_path, text, names, raw, colors):
    found = read(tmp_path, text)
    assert (found.names, found.raw, found.facts.colors) == (names, raw, colors)
    assert load_names(tmp_path / "classes.csv") == names  # the same file as a vocabulary


@pytest.mark.parametrize(
    "text",
    [
        "sofa, couch\ncat\n",
        "name\nid\n",
        "class, grade\nroad\n",
        "road: paved\ncar\n",
        "traffic light; signal\nt-shirt, 2 pieces\n",
        "route 66, highway\ncar\n",
    ],
)
def test_plain_lists_stay_plain_lists(tmp_path, text):
    names = tuple(line for line in text.splitlines())
    assert read(tmp_path, text, "classes.txt").names == names
    assert load_names(tmp_path / "classes.txt") == names


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0,road\n1,car\n", "begins with a number|first line such as 'id,name'"),
        ("road;0\ncar;1\n", "first line such as 'name,id'"),
        ("road,128,64,128\ncar,0,0,142\n", "first line such as 'name,r,g,b'"),
        ("id,trainId,name\n7,0,road\n", "'id' and 'trainid'.* Remove those"),
        ("id,name\n7,sofa, couch\n", "line 2: expected 2 columns .* double quotes"),
        ("id,name\nx,road\n", "line 2: expected an integer in 'id', found 'x'"),
        ("name,r,g,b\nroad,1,2,300\n", "line 2: expected a colour"),
        ("id,name\n", "no rows"),
        ("id,name\n1,road\n1,car\n", "label value 1 to 'road' and 'car'"),
        ("class,label,id\na,b,1\n", "one column of names, found 'class' and 'label'"),
        (CVAT + "broken\n", "line 5: expected a row such as"),
    ],
)
def test_ambiguous_tables_are_errors(tmp_path, text, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        read(tmp_path, text)
    assert str(tmp_path) in str(caught.value)
    if "label value" not in reason:  # a vocabulary needs no values
        with pytest.raises(ValueError, match=r"number|line|column|rows"):
            load_names(tmp_path / "classes.csv")


@pytest.mark.parametrize(
    ("rows", "header"), [("0;sky\n1;road\n", "id;name"), ("sky\t0\nroad\t1\n", "name\tid")]
)
def test_the_advice_about_a_header_works(tmp_path, rows, header):
    assert read(tmp_path, f"{header}\n{rows}").names == ("sky", "road")


def test_object_info_reads_0_as_not_labelled(tmp_path):
    made(tmp_path, None, row=(0, 1, 3, 2))
    (tmp_path / "objectInfo150.txt").write_text(OBJECT_INFO)
    described = describe_folder(tmp_path)
    assert described.ignored == (0,)
    assert described.build().load(0).labels[0].tolist() == [-1, 0, 2, 1]


def test_the_file_of_ade20k(shared_dir):
    path = next(shared_dir.rglob("objectInfo150.txt"), None)
    if path is None:
        pytest.skip("objectInfo150.txt is not here")
    found = read_class_file(path)
    assert found.raw == tuple(range(1, 151))
    assert found.names[0].split(",")[0] == "wall"
    assert found.implied.ignored == (0,)


def test_a_dataset_does_not_drop_the_values_of_its_vocabulary(tmp_path):
    made(tmp_path, None, stems=("a",), row=(1, 2, 2, 1))
    file = tmp_path / "classes.csv"
    file.write_text("id,name\n1,sky\n2,road\n")
    places = (str(tmp_path / "images"), str(tmp_path / "masks"), str(file), [])
    with pytest.raises(ValueError, match=r"are 1 to 2 .* such as \{1: 0, 2: 1, \.\.\.\}"):
        ImageMaskDataset(*places)
    dataset = ImageMaskDataset(*places, label_map={1: 0, 2: 1})
    assert dataset.load(0).labels[0].tolist() == [0, 1, 1, 0]


def test_an_evaluation_table_of_cityscapes(tmp_path):
    made(tmp_path, None, row=(0, 7, 26, 255))
    (tmp_path / "labels.csv").write_text(LABELS)
    described = describe_folder(tmp_path)
    assert described.ignored == (0, -1)  # -1 is 255 in files of 8 bits
    assert described.build().load(0).labels[0].tolist() == [-1, 0, 1, -1]


def test_a_table_of_colours_reads_label_maps_in_colour(tmp_path):
    row = ((128, 64, 128), (0, 0, 142), (0, 0, 0), (0, 0, 0))
    made(tmp_path, None, row=row, kind="RGB")
    (tmp_path / "labelmap.txt").write_text(CVAT)
    described = describe_folder(tmp_path)
    assert described.color_masks
    assert described.build().load(0).labels[0].tolist() == [1, 2, 0, 0]


def test_the_first_line_of_labelme_is_not_a_class(tmp_path):
    text = "__ignore__\n_background_\ncar\n"
    assert read(tmp_path, text, "labels.txt").names == ("_background_", "car")
    assert load_names(tmp_path / "labels.txt") == ("_background_", "car")


def test_a_file_of_the_old_names_wins_over_a_table(tmp_path):
    made(tmp_path)
    (tmp_path / "labels.csv").write_text("image,text\na.png,x\n")
    assert describe_folder(tmp_path).class_file.name == "classes.txt"


@pytest.mark.parametrize("nested", [True, False])
def test_metainfo_of_mmseg(tmp_path, nested):
    content = {
        "classes": ["sky", "road", "car"],
        "palette": [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
        "reduce_zero_label": True,
    }
    made(tmp_path, {"METAINFO": content} if nested else content, row=(0, 1, 3, 255))
    described = describe_folder(tmp_path)
    assert described.build().load(0).labels[0].tolist() == [-1, 0, 2, -1]
    assert described.palette == ((1, 2, 3), (4, 5, 6), (7, 8, 9))


def test_reduce_zero_label_needs_true_or_false_and_no_values(tmp_path):
    with pytest.raises(ValueError, match="must be true or false"):
        describe_folder(made(tmp_path / "a", {"classes": ["sky"], "reduce_zero_label": 1}))
    content = {"classes": {"1": "sky"}, "reduce_zero_label": True}
    with pytest.raises(ValueError, match="gives label values"):
        describe_folder(made(tmp_path / "b", content))
