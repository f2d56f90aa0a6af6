<!doctype html>
<title>Hello</title>
<h1>Hello {{name}}</h1>
<ul>
% for item in items:
  <li>{{item}}</li>
% end
</ul>
